-- A store as version 1 of the schema wrote it. Never edit: it stands for the files people have.
PRAGMA journal_mode = WAL;
CREATE TABLE documents (
   kind TEXT NOT NULL,
   id TEXT NOT NULL,
   revision INTEGER NOT NULL,
   body TEXT NOT NULL,
   PRIMARY KEY (kind, id)
) STRICT;
CREATE TABLE versions (
   revision INTEGER PRIMARY KEY,
   kind TEXT NOT NULL,
   id TEXT NOT NULL,
   at INTEGER NOT NULL,
   body TEXT -- NULL: this change deleted the document
) STRICT;
CREATE INDEX versions_of_document ON versions (kind, id, revision);
CREATE INDEX deletions ON versions (at) WHERE body IS NULL;
CREATE TABLE sequence (last INTEGER NOT NULL) STRICT;
INSERT INTO sequence VALUES (5);
CREATE TABLE leases (
   name TEXT PRIMARY KEY,
   holder TEXT NOT NULL,
   epoch INTEGER NOT NULL,
   expires_at INTEGER NOT NULL -- Unix milliseconds; 0: given back
) STRICT;
INSERT INTO versions VALUES
   (1, 'zone', 'zone-1', 1790000000, '{"id":"zone-1","name":"Hall"}'),
   (2, 'api_key', '00', 1790000001, '{}'),
   (3, 'zone', 'zone-1', 1790000002, '{"id":"zone-1","name":"Building","tags":["building"]}'),
   (4, 'module', 'mod-1', 4000000000, '{"id":"mod-1","driver_id":"driver-1","role":1}'),
   (5, 'module', 'mod-1', 4000000000, NULL);
INSERT INTO documents VALUES
   ('zone', 'zone-1', 3, '{"id":"zone-1","name":"Building","tags":["building"]}'),
   ('api_key', '00', 2, '{}');
INSERT INTO leases VALUES ('node', 'a', 7, 0);
PRAGMA application_id = 0x48454144;
PRAGMA user_version = 1;
