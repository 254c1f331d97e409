-- What the file gained since its format (schema.sql, user_version 2) was first used. The file grows by addition only:
-- user_version stays, and processes of earlier versions go on reading and writing it.
--
-- An addition begins with a line `-- addition NAME`, and lasts until the next such line. Its NAME is kept in the
-- table `addition` of each file that has it. additions.py applies what is missing, all of it in one transaction,
-- before the first write of a process; a new file gets everything at once. Reading never changes a file: a reader
-- of a file that lacks an addition sees its tables as empty ones and its views as they are written here (they are
-- made in memory, for that connection).
--
-- To add a table: write a new addition at the end of this file. Nothing else is needed. The rules:
--
-- * `CREATE TABLE IF NOT EXISTS name (...)`: a name of its own, that no file has. Code must do with an empty table, as
--   readers get one; INSERTs here are left out for them.
-- * Never ALTER, DROP or rename a table of schema.sql or of an earlier addition: jobs of earlier versions write
--   `INSERT INTO ending VALUES (...)` by position, and fail where a column is new. What is to be known of a job, a
--   batch or an ending goes into a table beside it, with the same key.
-- * Earlier versions know nothing of the table: when they change or remove a job, its row stays as it was. Keep the
--   attempt or the revision in its key where that matters, or a trigger that deletes the row with its job.
-- * A trigger or view is replaced by DROP ... IF EXISTS and CREATE in one addition. A view that is replaced must keep its
--   columns, in their order; new ones come last.
-- * An addition that was released is never changed or removed: what comes after it is a new addition.
-- * SQLite 3.26 must understand it: no STRICT, RETURNING or generated columns, and ON CONFLICT names its columns.

-- addition targets: the triggers of the counters name what may conflict; SQLite before 3.35 asks for that.
DROP TRIGGER IF EXISTS job_counted;
DROP TRIGGER IF EXISTS job_recounted;

CREATE TRIGGER job_counted AFTER INSERT ON job BEGIN
  INSERT INTO counter VALUES (NEW.BatchID, NEW.priority, NEW.state, 1)
    ON CONFLICT (BatchID, priority, state) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER job_recounted AFTER UPDATE OF BatchID, state, priority ON job
  WHEN OLD.state <> NEW.state OR OLD.priority <> NEW.priority OR OLD.BatchID <> NEW.BatchID BEGIN
  UPDATE counter SET n = n - 1
    WHERE BatchID = OLD.BatchID AND priority = OLD.priority AND state = OLD.state;
  DELETE FROM counter
    WHERE BatchID = OLD.BatchID AND priority = OLD.priority AND state = OLD.state AND n = 0;
  INSERT INTO counter VALUES (NEW.BatchID, NEW.priority, NEW.state, 1)
    ON CONFLICT (BatchID, priority, state) DO UPDATE SET n = n + 1;
END;

-- addition ended: how attempts ended, as codes (exit_kinds.py), beside the words in `ending`. `at` is that row's: a job of
-- an earlier version writes over the one and knows nothing of the other.
CREATE TABLE IF NOT EXISTS ended (
  BatchID   INTEGER NOT NULL,
  JobIndex  INTEGER NOT NULL,
  attempt   INTEGER NOT NULL,
  at        REAL NOT NULL,
  kind      TEXT NOT NULL,
  source    TEXT NOT NULL,     -- who said so
  confirmed INTEGER NOT NULL,  -- 0: exit status 0 after a signal to end it, of which only the account can say more
  chain     INTEGER NOT NULL,  -- 1: what is next shall be submitted if it turns out to be complete
  PRIMARY KEY (BatchID, JobIndex, attempt)
) WITHOUT ROWID;

CREATE TRIGGER IF NOT EXISTS ending_deleted AFTER DELETE ON ending BEGIN
  DELETE FROM ended WHERE BatchID = OLD.BatchID AND JobIndex = OLD.JobIndex AND attempt = OLD.attempt;
END;

-- addition queues: a job's executor is noted with its queue (kind@place#uid); a Filter sees the kind, as before.
DROP VIEW IF EXISTS job_view;
CREATE VIEW job_view AS
SELECT job.idx, job.BatchID, job.JobIndex, job.state, job.priority, batch.name, batch.batch_type,
       job.ClusterID, job.submit_id, job.hostname, job.subtime, job.attempt,
       job.submitted_at, job.started_at, job.changed_at,
       CASE WHEN instr(job.executor, '@') > 0 THEN substr(job.executor, 1, instr(job.executor, '@') - 1)
            ELSE job.executor END AS executor,
       ending.exit_status, ending.signal, ending.reason,
       json_set(job.metadata, '$.BatchID', job.BatchID, '$.JobIndex', job.JobIndex,
                '$.state', job.state, '$.priority', job.priority, '$.attempt', job.attempt,
                '$.ClusterID', job.ClusterID, '$.submit_id', job.submit_id,
                '$.hostname', job.hostname, '$.subtime', job.subtime) AS metadata
FROM job
JOIN batch ON batch.BatchID = job.BatchID
LEFT JOIN ending ON ending.BatchID = job.BatchID AND ending.JobIndex = job.JobIndex
                AND ending.attempt = job.attempt;

-- addition place: the job directories that jobs were added in: a project that was moved finds its files by them.
CREATE TABLE IF NOT EXISTS place (
  job_dir TEXT PRIMARY KEY,
  since   REAL NOT NULL            -- epoch seconds
) WITHOUT ROWID;

-- addition refused: what schedulers refused to take, by what was asked for, and the batches that this holds up. It is
-- kept until such jobs are taken; an earlier version knows nothing of it, and tries each job.
CREATE TABLE IF NOT EXISTS refused (
  queue    TEXT NOT NULL,          -- the queue's identity
  asked    TEXT NOT NULL,          -- what the jobs ask for (a digest), or the one job that was refused
  kind     TEXT NOT NULL,          -- model.py: TOO_MANY, AS_ASKED; '': one job
  words    TEXT NOT NULL,          -- for people
  at       REAL NOT NULL,          -- when it was last tried (epoch seconds)
  in_queue INTEGER NOT NULL,       -- the user's jobs in the queue then
  settings TEXT NOT NULL,          -- the settings then (a digest)
  PRIMARY KEY (queue, asked)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS refused_batch (
  BatchID INTEGER NOT NULL,
  queue   TEXT NOT NULL,
  asked   TEXT NOT NULL,
  PRIMARY KEY (BatchID, queue, asked)
) WITHOUT ROWID;

CREATE TRIGGER IF NOT EXISTS batch_refused_no_more AFTER DELETE ON batch BEGIN
  DELETE FROM refused_batch WHERE BatchID = OLD.BatchID;
END;

-- addition orphan: submissions that may go on although their batch was removed by force.
CREATE TABLE IF NOT EXISTS orphan (
  BatchID   INTEGER NOT NULL,
  JobIndex  INTEGER NOT NULL,
  token     TEXT NOT NULL,         -- '' where none is known
  submit_id TEXT NOT NULL,         -- ''
  executor  TEXT,                  -- the identity of the queue that it went to
  at        REAL NOT NULL,         -- when the batch was removed (epoch seconds)
  PRIMARY KEY (BatchID, JobIndex, token, submit_id)
) WITHOUT ROWID;

-- addition undo: acts of users that take another back. An earlier version tells them by their verb alone.
CREATE TABLE IF NOT EXISTS undo (
  action INTEGER PRIMARY KEY,      -- action.id
  undone INTEGER NOT NULL          -- action.id of what was taken back
);
