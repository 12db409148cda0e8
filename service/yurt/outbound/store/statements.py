"""The statements of the hot path, by name; everything else is compiled from `tables`.

Numbered parameters let a change be bound as the tuple it is, without a copy in column order.
"""

BEGIN = "BEGIN IMMEDIATE"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"

SAVEPOINT = "SAVEPOINT one_add"
ROLLBACK_TO_SAVEPOINT = "ROLLBACK TO one_add"
RELEASE_SAVEPOINT = "RELEASE one_add"

INSERT_CALL = "INSERT INTO calls VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
"""Bound to an `Accept`."""

INSERT_PENDING = "INSERT INTO pending VALUES (?2, ?5, -?6, ?1)"
"""Bound to the first six fields of an `Accept`."""

INSERT_READY = "INSERT OR IGNORE INTO pending VALUES (?2, ?3, -?4, ?1)"
"""Bound to a `Ready`."""

PLACE = (
    "INSERT INTO pending SELECT coalesce(t.queue, c.function_id), c.caller, -c.priority, c.seq"
    " FROM calls c LEFT JOIN targets t ON t.seq = c.seq"
    " WHERE c.seq >= (SELECT before FROM placed) AND c.kind <> 'map'"
    " AND NOT EXISTS (SELECT 1 FROM results r WHERE r.seq = c.seq)"
    " AND NOT EXISTS (SELECT 1 FROM timers s WHERE s.seq = c.seq AND s.kind = 'start')"
    " ON CONFLICT DO NOTHING"
)
"""Gives a place to what an earlier life left without one (see `records.Placed`); both databases take it."""

MARK_PLACED = (
    "INSERT INTO placed SELECT 1, coalesce(max(seq), 0) + 1 FROM calls WHERE true"
    " ON CONFLICT (one) DO UPDATE SET before = excluded.before"
)
"""After `PLACE`: of all calls that there are, none is without one."""

INSERT_INPUT = "INSERT INTO inputs VALUES (?1, ?2, ?3, ?4)"
"""Bound to a `MapInput`."""

DELETE_PENDING = "DELETE FROM pending WHERE queue = ?2 AND caller = ?3 AND rank = -?4 AND seq = ?1"
"""Bound to the first four fields of a `Complete`, or to a `HoldBack`."""

INSERT_RESULT = "INSERT OR IGNORE INTO results VALUES (?1, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
"""Bound to a `Complete`. IGNORE: an input has one visible end, and it never changes."""

DELETE_CLAIM = "DELETE FROM claims WHERE seq = ?"
DELETE_PROGRESS = "DELETE FROM progress WHERE seq = ?"

CALLBACK_DUE = "UPDATE callbacks SET ended_at = ?1, due_at = ?1 WHERE seq = ?2 AND ended_at IS NULL"
"""Bound to the time of a call's end and its number."""

SELECT_TRACKED = (
    "SELECT seq FROM claims UNION SELECT seq FROM progress UNION SELECT seq FROM callbacks WHERE ended_at IS NULL"
)
"""The inputs that have more to do at their end than to delete their pending row."""

EXPIRE = (
    "DELETE FROM calls WHERE seq = ?",
    "DELETE FROM results WHERE seq = ?",
    "DELETE FROM attempts WHERE seq = ?",
    "DELETE FROM callbacks WHERE seq = ?",
    "DELETE FROM redrives WHERE seq = ?",
    "DELETE FROM targets WHERE seq = ?",
    "DELETE FROM ticks WHERE seq = ?",
    "DELETE FROM inputs WHERE seq = ?",
    "DELETE FROM items WHERE seq = ?",
    "DELETE FROM maps WHERE seq = ?",
)
"""What deletes an input, or a call, that ended long ago."""

SELECT_IDENTITY = "SELECT installation, key, epoch FROM meta"
INSERT_IDENTITY = "INSERT INTO meta (one, installation, key, epoch) VALUES (1, ?, ?, 0)"
UPDATE_EPOCH = "UPDATE meta SET epoch = ?"

PROBE = "SELECT 1 FROM meta"
"""A read that is answered from one page."""
