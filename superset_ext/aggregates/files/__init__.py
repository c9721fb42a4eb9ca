"""Aggregates of a DuckDB source, each in a file of its own beside the source's; the source itself is never written to.

**The argument** why an aggregate may be called exact.

1. An answer counts as of the look at the file that comes right before the text that reads the aggregate. Superset opens
   the source to read (anything else is refused), and DuckDB locks a file that is open, so that mostly no other process
   writes meanwhile. The argument does not stand on that lock: whoever reads the file by a function, as `read_blob`, in
   the same process takes it away.
2. The *anchor* is what the system says of the source's file and of its write-ahead logs: device, inode, size, and when
   each was changed. Whatever is committed changes one of these files before the COMMIT returns, and a file that is put
   in its place has another inode. When a file was changed cannot be set by anybody (`st_ctime`).
3. Times are as coarse as the system's clock. So a build waits until the last change lies further back than that, reads
   the anchor, sees that nothing has the file open in this process, connects, reads the rows, and the anchor again: if
   both are the same, the connection has read what the anchor stands for, and any later change gives another one. (A
   connection that was there before may have read an earlier state, if its lock was taken away.)
4. A connection that was open before the file was replaced reads the old one, whose inode the anchor does not have. So
   the file of the anchor has to be open in this process, or nothing is built and nothing answered.
5. A build writes to a file of another name, and renames it when it is whole; then it renames what says so
   (`catalogue`). One that is killed leaves a file that nothing names.

The file is never opened by anything but DuckDB in this process: on POSIX systems whoever closes a file loses all locks
that the process has on it, DuckDB's too. So its header is not read here.
"""
