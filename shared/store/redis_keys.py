"""Keys in Redis, each spelled once.

| key                             | type    | holds                              | written by   | ends                    |
| ------------------------------- | ------- | ---------------------------------- | ------------ | ----------------------- |
| jobs:record:<id>                | hash    | the JobRecord                      | every script | after its retention     |
| jobs:owner:<id>                 | string  | the caller of a finished job (1)   | step, cancel | when jobs:index forgets |
|                                 |         |                                    |              | the job                 |
| jobs:logs:<id>                  | list    | the job's log: its last 1000 lines | step, report | with the record         |
| jobs:output:<id>                | list    | the output of the job's last claim | step, report | with the record         |
| arq:job:<id>                    | string  | arq's message: function, job id    | submit (3)   | with the terminal write |
| arq:queue:<name>                | zset    | waiting ids by due time (ms)       | submit, step | when nothing waits      |
| jobs:leases:<name>              | zset    | `token:id` by the lease's end (ms) | step, beat   | when nothing runs       |
| jobs:wake:<name>                | list    | one wake-up, or none               | submit, step | by the next idle worker |
| jobs:index                      | zset    | all ids by created_at (ms)         | submit       | trimmed after expiry(2) |
| jobs:index:<state>              | zset    | ids of a terminal state by         | every script | trimmed after expiry    |
|                                 |         | expires_at (ms)                    |              |                         |
| jobs:queues                     | set     | names of queues that hold jobs     | submit,      | when no queue does      |
|                                 |         |                                    | upkeep       |                         |
| jobs:paused                     | hash    | by queue: caller, reason and time  | pause        | when no queue is paused |
|                                 |         | (ms) of its pause, JSON            |              |                         |
| jobs:counts:<n>                 | hash    | by queue and outcome: jobs in the  | submit, step | 16 minutes later        |
|                                 |         | n-th ten seconds since the epoch   |              |                         |
| jobs:index:start_by             | zset    | ids that must start by a time (ms) | submit       | with their start or end |
| jobs:index:workers              | zset    | live workers by the end of their   | beat, leave  | a lease after the last  |
|                                 |         | heartbeat (ms)                     |              | heartbeat               |
| jobs:worker:<id>                | hash    | host, pid, queues, slots, running, | beat, step,  | a day after the last    |
|                                 |         | models, memory, release, overdue,  | leave        | heartbeat               |
|                                 |         | started_at, seen_at; the last      |              |                         |
|                                 |         | claims                             |              |                         |
| jobs:upkeep                     | hash    | seen_at: the last sign of life of  | beat, upkeep | -                       |
|                                 |         | a process (ms); rescue_from (ms);  |              |                         |
|                                 |         | lease (ms); repaired_at (ms), and  |              |                         |
|                                 |         | where the repair goes on           |              |                         |
| jobs:idempotency:<caller>:<key> | string  | the job that a key of a caller     | submit       | 24 h after its use      |
|                                 |         | made: `digest:id`                  |              |                         |
| jobs:prepared                   | zset    | prepared batches by the time when  | prepare      | with their commit, or   |
|                                 |         | they end unless they go on (ms)    |              | soon after that time    |
| jobs:prepared:<batch>           | list    | `id key` of each prepared job of   | prepare      | as above                |
|                                 |         | a batch: its idempotency key       |              |                         |
| jobs:file:<id>                  | hash    | an uploaded file: name, caller,    | file_add     | with the file           |
|                                 |         | content_type, size, sha256,        |              |                         |
|                                 |         | created_at, expires_at (ms)        |              |                         |
| jobs:file:<id>:jobs             | set     | ids of jobs that name the file     | submit       | with the file           |
| jobs:index:files                | zset    | uploaded files by the time to look | file_*       | with the file           |
|                                 |         | whether they are needed (ms)       |              |                         |
| jobs:sweep                      | string  | a worker sweeps the file store,    | a worker     | WORKER_SWEEP_SECONDS    |
|                                 |         | or just has                        |              | later                   |
| jobs:rate:<caller>              | string  | GCRA's theoretical arrival time of | rate         | at that time            |
|                                 |         | the caller's limit (µs)            |              |                         |
| jobs:backlog:<caller>           | zset    | ids of jobs that wait, of a caller | submit, step | when none of them waits |
|                                 |         | with a quota, by the time          |              |                         |
| jobs:kept:<caller>              | hash    | bytes of each record of a caller   | submit, step | with the last record    |
|                                 |         | with a quota, by id; bytes, count  |              |                         |
| jobs:kept                       | zset    | `caller id` of ended jobs that are | step, cancel | with the record         |
|                                 |         | counted there, by expires_at (ms)  |              |                         |
| jobs:uploads:<caller>           | hash    | bytes of each uploaded file of a   | file_*       | with the last file      |
|                                 |         | caller with a quota; bytes, count  |              |                         |
| jobs:stream-secret              | string  | the secret of stream tokens        | an API       | -                       |
| jobs:changes:<id>               | pub/sub | a record's new version, and `done` | every script | -                       |
|                                 |         | after it once the job is done; or  |              |                         |
|                                 |         | `output`                           |              |                         |
| jobs:cancel                     | pub/sub | ids of running jobs to cancel      | cancel       | -                       |

(1) A key that is limited to its own jobs gets 410 for those of its caller alone, and 404 for others.
(2) As long after the expiry as the record was kept, a day at most: until then the job is 410, not 404.
(3) Or prepare and commit, for a large batch; so too wherever submit is named.

Scripts compute keys from ids and queue names. On a Redis Cluster all keys and channels of a shard begin with its hash
tag (`tags.py`), which is the one key that its scripts declare; without shards there is no tag.
"""  # noqa: E501

RECORD = "jobs:record:"
OWNER = "jobs:owner:"
LOGS = "jobs:logs:"
OUTPUT = "jobs:output:"
MESSAGE = "arq:job:"
QUEUE = "arq:queue:"
LEASES = "jobs:leases:"
WAKE = "jobs:wake:"
INDEX = "jobs:index"
INDEX_OF = "jobs:index:"
QUEUES = "jobs:queues"
PAUSED = "jobs:paused"
COUNTS = "jobs:counts:"
START_BY = "jobs:index:start_by"
WORKERS = "jobs:index:workers"
WORKER = "jobs:worker:"
UPKEEP = "jobs:upkeep"
IDEMPOTENCY = "jobs:idempotency:"
PREPARED = "jobs:prepared:"
PREPARED_ENDS = "jobs:prepared"
FILE = "jobs:file:"
FILES = "jobs:index:files"
SWEEP = "jobs:sweep"
RATE = "jobs:rate:"
BACKLOG = "jobs:backlog:"
KEPT = "jobs:kept:"
KEPT_ENDS = "jobs:kept"
UPLOADS = "jobs:uploads:"
STREAM_SECRET = "jobs:stream-secret"  # noqa: S105  # its key
CHANGES = "jobs:changes:"
CANCEL = "jobs:cancel"

WEBHOOKS = "internal.webhooks"  # a queue; no queue in WORKER_QUEUES can have this name
DELIVERY_ID = "webhook-"  # prefix of the ids of deliveries; the delivery's number and the job's id follow

NO_KEYS = ("WEBHOOKS", "DELIVERY_ID")
FOR_SCRIPTS = {
    name: value for name, value in list(globals().items()) if name.isupper() and isinstance(value, str)
}
