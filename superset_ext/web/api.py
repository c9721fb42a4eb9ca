"""`/api/v1/performance`: say what changed, start a warming run, and ask where it is at."""

from __future__ import annotations

from uuid import UUID

from flask import Response
from superset.extensions import celery_app
from superset.utils.core import get_user_id
from superset.views.base_api import BaseSupersetApi
from werkzeug.exceptions import RequestEntityTooLarge

from superset_ext.errors import ChangeError, WarmError
from superset_ext.freshness.request import invalidate
from superset_ext.host.permissions import VIEW_MENU
from superset_ext.warm import service
from superset_ext.warm.recovery import recover
from superset_ext.warm.run import runs
from superset_ext.web import guard, schemas
from superset_ext.web import invalidate as invalidation
from superset_ext.web.guard import route


class PerformanceApi(BaseSupersetApi):  # type: ignore[misc]
    """Warm-up and invalidation over HTTP."""

    resource_name = "performance"
    class_permission_name = VIEW_MENU
    method_permission_name = {  # noqa: RUF012  (as Superset has it)
        "invalidate": "write",
        "warm_up": "write",
        "warm_up_status": "read",
    }
    allow_browser_login = True
    csrf_exempt = True  # see `guarded`
    openapi_spec_tag = VIEW_MENU
    openapi_spec_component_schemas = (
        invalidation.InvalidateRequestSchema, invalidation.InvalidatedSchema, schemas.WarmUpRequestSchema,
        schemas.WarmUpStartedSchema, schemas.WarmUpStatusSchema,
    )  # fmt: skip

    @route("/cache/invalidate", "POST")
    def invalidate(self) -> Response:
        """Say what changed, so that nothing older is served.
        ---
        post:
          summary: Say what changed
          description: >-
            Drops the cached answers that were read from what is named, at once, and nothing else. Whatever is named
            must exist, otherwise nothing is dropped.
          requestBody:
            required: true
            content:
              application/json:
                schema:
                  $ref: '#/components/schemas/InvalidateRequestSchema'
          responses:
            200:
              description: Nothing older is served any more
              content:
                application/json:
                  schema:
                    $ref: '#/components/schemas/InvalidatedSchema'
            400:
              $ref: '#/components/responses/400'
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            413:
              description: The body is over 64 KB
            503:
              description: Redis could not be told, and old answers may still be served
        """
        if "webhook" not in guard.package().settings.sources:
            return self.response_403()  # type: ignore[no-any-return]
        try:
            asked = invalidation.parse(guard.body())
            said = invalidate(asked.named, asked.keys, "webhook", asked.operation, asked.at, get_user_id())
        except RequestEntityTooLarge:
            return guard.too_large(self)
        except (schemas.BadRequest, ChangeError) as error:
            return self.response_400(message=str(error))  # type: ignore[no-any-return]
        return self.response(200, **invalidation.as_json(*said))  # type: ignore[no-any-return]

    @route("/cache/warm-up", "POST")
    def warm_up(self) -> Response:
        """Start a warming run.
        ---
        post:
          summary: Start a warming run
          description: >-
            Warms what is named, in the background. The same while it is being warmed is the same run.
          requestBody:
            required: true
            content:
              application/json:
                schema:
                  $ref: '#/components/schemas/WarmUpRequestSchema'
          responses:
            202:
              description: The run
              content:
                application/json:
                  schema:
                    $ref: '#/components/schemas/WarmUpStartedSchema'
            400:
              $ref: '#/components/responses/400'
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            413:
              description: The body is over 64 KB
            503:
              description: The log database or Celery's broker is away
        """
        database = guard.log()
        try:
            options = schemas.parse(guard.body())
        except RequestEntityTooLarge:
            return guard.too_large(self)
        except schemas.BadRequest as error:
            return self.response_400(message=str(error))  # type: ignore[no-any-return]
        run_id, new = service.start(celery_app, database, options, "api")
        return self.response(202, run_id=run_id, new=new)  # type: ignore[no-any-return]

    @route("/cache/warm-up/<uuid:run_id>", "GET")
    def warm_up_status(self, run_id: UUID) -> Response:
        """Where a warming run is at.
        ---
        get:
          summary: Where a warming run is at
          parameters:
          - in: path
            name: run_id
            required: true
            schema:
              type: string
              format: uuid
          responses:
            200:
              description: The run
              content:
                application/json:
                  schema:
                    $ref: '#/components/schemas/WarmUpStatusSchema'
            401:
              $ref: '#/components/responses/401'
            403:
              $ref: '#/components/responses/403'
            404:
              $ref: '#/components/responses/404'
            503:
              description: The log database or Celery's broker is away
        """
        database = guard.log()
        recover(celery_app, database, guard.package().settings)
        try:
            status = runs.status(database, str(run_id))
        except WarmError:
            return self.response_404()  # type: ignore[no-any-return]
        return self.response(200, **schemas.as_json(status))  # type: ignore[no-any-return]
