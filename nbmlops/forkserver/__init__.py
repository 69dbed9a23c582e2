"""Fork servers: processes that have imported, and the processes forked from them.

`fork_server` finds or starts the server of an environment, `fork` has it fork a worker
or a run of a notebook; ``host`` is what runs in the server and its forks.
"""
