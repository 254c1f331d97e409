-- The index of batches and jobs: one file, version 2 (PRAGMA user_version; migrations.py upgrades older ones).
--
-- Columns that users name in a Filter keep their documented spelling. `metadata` is JSON (metadata_json.py) and
-- holds what has no column of its own. `rev` is the database's revision at the row's last change: all
-- rows that one transaction changes carry the same number.

CREATE TABLE revision (rev INTEGER NOT NULL);
INSERT INTO revision VALUES (0);

-- The latest BatchID that get_job_template gave out, and the second (epoch s) that it stands for.
CREATE TABLE issued (BatchID INTEGER NOT NULL, at REAL NOT NULL);
INSERT INTO issued VALUES (0, 0);

CREATE TABLE batch (
  BatchID    INTEGER PRIMARY KEY,
  name       TEXT NOT NULL,
  batch_type TEXT NOT NULL,
  created_at REAL NOT NULL,
  created_by TEXT NOT NULL,
  rev        INTEGER NOT NULL
);
CREATE INDEX batch_rev ON batch (rev);

CREATE TABLE job (
  idx          INTEGER PRIMARY KEY,
  BatchID      INTEGER NOT NULL REFERENCES batch (BatchID),
  JobIndex     INTEGER NOT NULL,
  state        TEXT NOT NULL,
  priority     NUMERIC NOT NULL,
  attempt      INTEGER NOT NULL DEFAULT 0,  -- submissions so far; the log history's length
  restarts     INTEGER NOT NULL DEFAULT 0,  -- times the scheduler itself requeued this submission
  token        TEXT,                        -- of the latest submission, until the job is reset
  claimed_by   TEXT,                        -- who submitted it: user@host:pid
  executor     TEXT,                        -- by which executor (its identity); NULL: nobody knows
  submit_id    TEXT,                        -- what the scheduler answered
  ClusterID    TEXT,                        -- what the running job says its id is
  hostname     TEXT,
  subtime      INTEGER,                     -- local time of the last submission, YYYYMMDDHHMMSS
  submitted_at REAL,                        -- the same, epoch seconds
  started_at   REAL,
  changed_at   REAL NOT NULL,
  changed_by   TEXT NOT NULL DEFAULT '',
  metadata     TEXT NOT NULL,
  rev          INTEGER NOT NULL DEFAULT 0,
  UNIQUE (BatchID, JobIndex)
);
CREATE INDEX job_rev ON job (rev);
CREATE INDEX job_state ON job (BatchID, state, priority, JobIndex);
CREATE INDEX job_online ON job (BatchID, JobIndex) WHERE state IN ('submit', 'run', 'spawn');

CREATE TABLE spawn (
  BatchID      INTEGER NOT NULL,
  JobIndex     INTEGER NOT NULL,
  SpawnID      INTEGER NOT NULL,
  spawn_state  TEXT NOT NULL,
  attempt      INTEGER NOT NULL DEFAULT 0,
  token        TEXT,
  claimed_by   TEXT,
  executor     TEXT,
  submit_id    TEXT,
  ClusterID    TEXT,
  hostname     TEXT,
  submitted_at REAL,
  stdout       TEXT,
  stderr       TEXT,
  rev          INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (BatchID, JobIndex, SpawnID)
) WITHOUT ROWID;
CREATE INDEX spawn_rev ON spawn (rev);

-- How an attempt ended, as its wrapper or the scheduler tells: an observation beside the job's own word.
CREATE TABLE ending (
  BatchID     INTEGER NOT NULL,
  JobIndex    INTEGER NOT NULL,
  attempt     INTEGER NOT NULL,
  at          REAL NOT NULL,
  reason      TEXT NOT NULL,
  exit_status INTEGER,
  signal      INTEGER,
  hostname    TEXT,
  record      TEXT,
  rev         INTEGER NOT NULL,
  PRIMARY KEY (BatchID, JobIndex, attempt)
) WITHOUT ROWID;
CREATE INDEX ending_rev ON ending (rev);

CREATE TABLE event (
  id       INTEGER PRIMARY KEY,
  at       REAL NOT NULL,
  BatchID  INTEGER NOT NULL,
  JobIndex INTEGER,        -- NULL: the whole batch
  attempt  INTEGER,
  who      TEXT NOT NULL,  -- user@host:pid, or with the job's cluster id
  "from"   TEXT,
  "to"     TEXT,
  why      TEXT NOT NULL,
  detail   TEXT,           -- JSON: {field: [before, after]}, and what an undo needs
  action   INTEGER,        -- the user's act that it belongs to
  rev      INTEGER NOT NULL
);
CREATE INDEX event_job ON event (BatchID, JobIndex);
CREATE INDEX event_action ON event (action) WHERE action IS NOT NULL;

CREATE TABLE action (
  id        INTEGER PRIMARY KEY,
  at        REAL NOT NULL,
  who       TEXT NOT NULL,
  verb      TEXT NOT NULL,
  jobs      INTEGER NOT NULL,
  command   TEXT NOT NULL,     -- the equivalent command line
  can_undo  INTEGER NOT NULL,
  undone_at REAL
);

-- Batches that were removed, for readers that keep a picture of the whole.
CREATE TABLE tombstone (rev INTEGER NOT NULL, BatchID INTEGER NOT NULL);
CREATE INDEX tombstone_rev ON tombstone (rev);

-- The last answer of each scheduler, asked by one process for all (the lease).
CREATE TABLE poll (
  scheduler     TEXT PRIMARY KEY,            -- executor and user
  lease_at      REAL NOT NULL DEFAULT 0,
  lease_who     TEXT,
  polled_at     REAL NOT NULL DEFAULT 0,     -- the last valid answer
  rev           INTEGER NOT NULL DEFAULT 0,  -- the revision when it was asked for
  answer        BLOB,                        -- zlib of JSON: the live jobs
  absent        BLOB,                        -- zlib of JSON: {id: [first polled without it, polls since]}
  failing_since REAL,
  failures      INTEGER NOT NULL DEFAULT 0,  -- in a row
  empties       INTEGER NOT NULL DEFAULT 0,  -- suspiciously empty answers in a row
  error         TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

-- Jobs by batch, priority and state, kept by triggers so that nobody ever counts rows.
CREATE TABLE counter (
  BatchID  INTEGER NOT NULL,
  priority NUMERIC NOT NULL,
  state    TEXT NOT NULL,
  n        INTEGER NOT NULL,
  PRIMARY KEY (BatchID, priority, state)
) WITHOUT ROWID;

CREATE TRIGGER job_counted AFTER INSERT ON job BEGIN
  INSERT INTO counter VALUES (NEW.BatchID, NEW.priority, NEW.state, 1)
    ON CONFLICT (BatchID, priority, state) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER job_uncounted AFTER DELETE ON job BEGIN
  UPDATE counter SET n = n - 1
    WHERE BatchID = OLD.BatchID AND priority = OLD.priority AND state = OLD.state;
  DELETE FROM counter
    WHERE BatchID = OLD.BatchID AND priority = OLD.priority AND state = OLD.state AND n = 0;
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

-- Somebody's own SQL that changes a job without a new revision must not go unseen.
CREATE TRIGGER job_revised AFTER UPDATE ON job WHEN NEW.rev = OLD.rev BEGIN
  UPDATE revision SET rev = rev + 1;
  UPDATE job SET rev = (SELECT rev FROM revision) WHERE idx = NEW.idx;
END;

-- What a Filter sees: every documented name, and the metadata whole.
CREATE VIEW job_view AS
SELECT job.idx, job.BatchID, job.JobIndex, job.state, job.priority, batch.name, batch.batch_type,
       job.ClusterID, job.submit_id, job.hostname, job.subtime, job.attempt,
       job.submitted_at, job.started_at, job.changed_at, job.executor,
       ending.exit_status, ending.signal, ending.reason,
       json_set(job.metadata, '$.BatchID', job.BatchID, '$.JobIndex', job.JobIndex,
                '$.state', job.state, '$.priority', job.priority, '$.attempt', job.attempt,
                '$.ClusterID', job.ClusterID, '$.submit_id', job.submit_id,
                '$.hostname', job.hostname, '$.subtime', job.subtime) AS metadata
FROM job
JOIN batch ON batch.BatchID = job.BatchID
LEFT JOIN ending ON ending.BatchID = job.BatchID AND ending.JobIndex = job.JobIndex
                AND ending.attempt = job.attempt;
