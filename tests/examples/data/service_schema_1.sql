-- A database of schema version 1, as its service left it. Never changed: what comes later is migrated from here.
PRAGMA application_id = 1347571522;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE agents (
            branch TEXT NOT NULL,
            name TEXT NOT NULL,
            journal TEXT NOT NULL,
            sequence INTEGER NOT NULL,  -- of the journal, at its last hello
            session INTEGER NOT NULL,  -- grows with every hello: a dispatch belongs to one of them
            seen_at REAL NOT NULL,
            PRIMARY KEY (branch, name)
        ) STRICT
        ;
INSERT INTO "agents" VALUES('mitte','pc','11111111111111111111111111111111',10,1,4102440000.0);
CREATE TABLE contents (job TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
INSERT INTO "contents" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','{"receipt": {"elements": [{"type": "text", "text": "No. 1\n"}, {"type": "cut"}]}}');
INSERT INTO "contents" VALUES('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','{"receipt": {"elements": [{"type": "text", "text": "No. 2\n"}, {"type": "cut"}]}}');
INSERT INTO "contents" VALUES('cccccccccccccccccccccccccccccccc','{"receipt": {"elements": [{"type": "text", "text": "No. 3\n"}, {"type": "cut"}]}}');
INSERT INTO "contents" VALUES('dddddddddddddddddddddddddddddddd','{"receipt": {"elements": [{"type": "text", "text": "No. 4\n"}, {"type": "cut"}]}}');
CREATE TABLE events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            owner TEXT NOT NULL,
            at REAL NOT NULL,
            body TEXT NOT NULL
        ) STRICT
        ;
INSERT INTO "events" VALUES(7,'till',4102440000.0,'{"id": "dddddddddddddddddddddddddddddddd", "state": "queued", "outcome": null, "printer": "kitchen"}');
CREATE TABLE jobs (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            printer TEXT NOT NULL REFERENCES printers (id),
            kind TEXT NOT NULL,
            timeout REAL NOT NULL,
            owner TEXT NOT NULL,
            key TEXT,  -- the owner's Idempotency-Key
            request TEXT NOT NULL,  -- hash of what the key was sent with
            correlation_id TEXT NOT NULL,
            carrier TEXT NOT NULL,  -- trace context of the request, as JSON
            state TEXT NOT NULL CHECK (
                state IN ('queued', 'dispatched', 'confirmed', 'written', 'failed', 'unknown', 'cancelled')
            ),
            journal TEXT NOT NULL DEFAULT '',  -- that it was last dispatched to: branch/agent/journal
            sent INTEGER NOT NULL DEFAULT 0,  -- how many times it was dispatched
            cancel_asked INTEGER NOT NULL DEFAULT 0,
            error_type TEXT NOT NULL DEFAULT '',
            partial INTEGER NOT NULL DEFAULT 0,
            window TEXT NOT NULL DEFAULT '',
            held INTEGER NOT NULL DEFAULT 0,
            evidence_at REAL,  -- when the proof of an unknown job came
            reprint_of TEXT NOT NULL DEFAULT '',
            created_at REAL NOT NULL,
            expires_at REAL NOT NULL,
            finished_at REAL,
            CHECK ((finished_at IS NULL) = (state IN ('queued', 'dispatched'))),
            CHECK (held = 0 OR state = 'unknown')
        ) STRICT
        ;
INSERT INTO "jobs" VALUES(1,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','kitchen','receipt',30.0,'till','4711','0000000000000000000000000000000000000000000000000000000000000000','order-1','{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}','confirmed','mitte/pc/11111111111111111111111111111111',1,0,'',0,'',0,NULL,'',4102440001.0,4102444800.0,4102440060.0);
INSERT INTO "jobs" VALUES(2,'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','kitchen','receipt',30.0,'till',NULL,'','order-2','{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}','unknown','mitte/pc/11111111111111111111111111111111',1,0,'timeout',0,'printing',1,NULL,'',4102440002.0,4102444800.0,4102440061.0);
INSERT INTO "jobs" VALUES(3,'cccccccccccccccccccccccccccccccc','kitchen','receipt',30.0,'till',NULL,'','order-3','{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}','dispatched','mitte/pc/11111111111111111111111111111111',1,0,'',0,'',0,NULL,'',4102440003.0,4102444800.0,NULL);
INSERT INTO "jobs" VALUES(4,'dddddddddddddddddddddddddddddddd','kitchen','receipt',30.0,'till',NULL,'','order-4','{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}','queued','',0,0,'',0,'',0,NULL,'',4102440004.0,4102444800.0,NULL);
CREATE TABLE printers (
            id TEXT PRIMARY KEY,
            branch TEXT NOT NULL,
            agent TEXT NOT NULL,  -- who may serve it
            serial TEXT NOT NULL,
            state TEXT NOT NULL DEFAULT 'unknown',
            score INTEGER NOT NULL DEFAULT -1,
            changed_at REAL NOT NULL
        ) STRICT
        ;
INSERT INTO "printers" VALUES('kitchen','mitte','pc','X4AB','ready',95,4102440000.0);
CREATE TABLE probe (at REAL NOT NULL) STRICT;
INSERT INTO "probe" VALUES(0.0);
CREATE UNIQUE INDEX jobs_by_key ON jobs (owner, key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX jobs_one_at_a_time ON jobs (printer) WHERE state = 'dispatched';
CREATE INDEX jobs_open ON jobs (printer, position) WHERE finished_at IS NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_held ON jobs (position) WHERE held = 1;
CREATE INDEX jobs_by_owner ON jobs (owner, position);
CREATE INDEX events_by_owner ON events (owner, seq);
CREATE INDEX events_by_time ON events (at);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',4);
INSERT INTO "sqlite_sequence" VALUES('events',7);
COMMIT;
