"""Tasks of many programs, run in this process, in several, or on a Ray cluster.

| module | what is in it |
|---|---|
| `tasks` | `Task`: a configuration in, a folder out; `TaskReport`; the kinds of tasks |
| `options` | `ExecutorOptions`, and `make_executor` |
| `local`, `processes`, `ray_pool` | the three executors |
| `supervisor` | hands tasks to workers, retries them, and says what is missing |
| `worker`, `ray_actor` | the other side: what a worker process runs |
| `packing`, `task_bar` | folders as bytes; one progress bar for all tasks |
"""
