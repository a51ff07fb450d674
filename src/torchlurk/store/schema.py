"""The tables of a study, its version, and how a version follows another.

`STEPS[n]` are the statements that bring a study from version n to n + 1, so a new study takes all of them and an older
one those it lacks, in one transaction, when it is next written to. To add a table: append a step, describe the table in
docs/reference/study-file.md, and let readers of it accept a study whose `version` is lower. A step once released never
changes, not by a space: a study whose schema differs from these texts is not opened, so that nobody can plant a view, a
trigger or an expression in a study that is passed on.
"""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x4C55524B
"""'LURK', at byte 68 of the file."""

PAGE_SIZE = 16384

RANKINGS = ("max", "mean", "quantile")
MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp")

VERSION_1 = (
    """CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE run (
    stage TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    model_fingerprint TEXT NOT NULL,
    data TEXT NOT NULL,
    data_fingerprint TEXT NOT NULL,
    options TEXT NOT NULL,
    seed INTEGER NOT NULL,
    version TEXT NOT NULL,
    started TEXT NOT NULL,
    finished TEXT
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE layer (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    layout TEXT NOT NULL CHECK (layout IN ('spatial', 'vector', 'tokens', 'sequence')),
    channels INTEGER NOT NULL CHECK (channels >= 0),
    shape TEXT NOT NULL,
    channel_axis INTEGER NOT NULL,
    parameters INTEGER NOT NULL,
    receptive_field TEXT,
    stride TEXT,
    nonlinearity TEXT,
    read_after TEXT NOT NULL,
    by_default INTEGER NOT NULL CHECK (by_default IN (0, 1))
) STRICT""",
    """CREATE TABLE node (
    id INTEGER PRIMARY KEY,
    rank INTEGER NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('input', 'module', 'operation', 'output')),
    name TEXT NOT NULL,
    module TEXT NOT NULL,
    type TEXT NOT NULL,
    shape TEXT NOT NULL
) STRICT""",
    """CREATE TABLE edge (
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES node (id),
    target INTEGER NOT NULL REFERENCES node (id)
) STRICT""",
    """CREATE TABLE class (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    label TEXT NOT NULL
) STRICT""",
    """CREATE TABLE example (
    id INTEGER PRIMARY KEY CHECK (id >= 0),
    path TEXT NOT NULL,
    class INTEGER REFERENCES class (id)
) STRICT""",
    """CREATE TABLE skip (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    reason TEXT NOT NULL,
    UNIQUE (path, reason)
) STRICT""",
    """CREATE TABLE note (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    UNIQUE (kind, text)
) STRICT""",
    """CREATE TABLE sample (
    position INTEGER PRIMARY KEY,
    example INTEGER NOT NULL REFERENCES example (id)
) STRICT""",
    """CREATE TABLE input_statistics (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    count INTEGER NOT NULL,
    shape TEXT NOT NULL,
    mean BLOB NOT NULL,
    covariance BLOB NOT NULL,
    spectrum BLOB NOT NULL
) STRICT""",
    """CREATE TABLE unit (
    layer INTEGER NOT NULL REFERENCES layer (id),
    channel INTEGER NOT NULL,
    mean REAL,
    std REAL,
    min REAL,
    max REAL,
    fraction_active REAL,
    selectivity REAL,
    PRIMARY KEY (layer, channel)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE provisional (
    layer INTEGER PRIMARY KEY REFERENCES layer (id),
    examples INTEGER NOT NULL CHECK (examples >= 0)
) STRICT""",
    """CREATE TABLE kernel (
    layer INTEGER PRIMARY KEY REFERENCES layer (id),
    shape TEXT NOT NULL,
    weights BLOB NOT NULL
) STRICT""",
    """CREATE TABLE class_profile (
    layer INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    max BLOB NOT NULL,
    mean BLOB NOT NULL,
    PRIMARY KEY (layer, channel),
    FOREIGN KEY (layer, channel) REFERENCES unit (layer, channel)
) STRICT""",
    """CREATE TABLE response (
    layer INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    sample BLOB NOT NULL,
    PRIMARY KEY (layer, channel),
    FOREIGN KEY (layer, channel) REFERENCES unit (layer, channel)
) STRICT""",
    """CREATE TABLE exemplar (
    layer INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    ranking TEXT NOT NULL CHECK (ranking = 'max' OR ranking = 'mean' OR ranking = 'quantile'),
    rank INTEGER NOT NULL CHECK (rank >= 0),
    example INTEGER NOT NULL REFERENCES example (id),
    score REAL,
    position INTEGER,
    x0 INTEGER,
    y0 INTEGER,
    x1 INTEGER,
    y1 INTEGER,
    recall REAL,
    PRIMARY KEY (layer, channel, ranking, rank),
    FOREIGN KEY (layer, channel) REFERENCES unit (layer, channel)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE picture (
    sha256 BLOB PRIMARY KEY CHECK (length(sha256) = 32),
    media_type TEXT NOT NULL CHECK (media_type IN ('image/jpeg', 'image/png', 'image/webp')),
    data BLOB NOT NULL
) STRICT""",
    """CREATE TABLE example_picture (
    example INTEGER PRIMARY KEY REFERENCES example (id),
    picture BLOB NOT NULL REFERENCES picture (sha256)
) STRICT""",
    """CREATE TABLE attribution (
    layer INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    ranking TEXT NOT NULL CHECK (ranking = 'max' OR ranking = 'mean'),
    rank INTEGER NOT NULL CHECK (rank >= 0),
    method TEXT NOT NULL,
    x0 INTEGER NOT NULL,
    y0 INTEGER NOT NULL,
    x1 INTEGER NOT NULL,
    y1 INTEGER NOT NULL,
    scale REAL NOT NULL,
    kept REAL,
    picture BLOB NOT NULL REFERENCES picture (sha256),
    PRIMARY KEY (layer, channel, ranking, rank, method),
    FOREIGN KEY (layer, channel, ranking, rank) REFERENCES exemplar (layer, channel, ranking, rank)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE method_check (
    layer INTEGER NOT NULL REFERENCES layer (id),
    method TEXT NOT NULL,
    similarity REAL,
    marked INTEGER NOT NULL CHECK (marked IN (0, 1)),
    PRIMARY KEY (layer, method)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE effective_field (
    layer INTEGER PRIMARY KEY REFERENCES layer (id),
    height REAL NOT NULL,
    width REAL NOT NULL
) STRICT""",
    """CREATE TABLE synthesis (
    layer INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    preset TEXT NOT NULL,
    picture BLOB NOT NULL REFERENCES picture (sha256),
    activation REAL,
    ratio REAL,
    percentile REAL,
    robustness REAL,
    marked TEXT,
    seed INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    PRIMARY KEY (layer, channel, preset),
    FOREIGN KEY (layer, channel) REFERENCES unit (layer, channel)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE progress_count (
    stage TEXT PRIMARY KEY REFERENCES run (stage),
    done INTEGER NOT NULL,
    total INTEGER NOT NULL
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE progress_shard (
    stage TEXT NOT NULL REFERENCES run (stage),
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    PRIMARY KEY (stage, start, stop)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE progress_array (
    stage TEXT NOT NULL REFERENCES run (stage),
    name TEXT NOT NULL,
    dtype TEXT NOT NULL,
    shape TEXT NOT NULL,
    PRIMARY KEY (stage, name)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE progress_piece (
    stage TEXT NOT NULL,
    name TEXT NOT NULL,
    piece INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (stage, name, piece),
    FOREIGN KEY (stage, name) REFERENCES progress_array (stage, name)
) STRICT""",
)

VERSION_2 = (
    """CREATE TABLE input (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    description TEXT NOT NULL
) STRICT""",
    """CREATE TABLE stream (
    layer INTEGER PRIMARY KEY REFERENCES layer (id),
    module TEXT NOT NULL,
    stream TEXT NOT NULL
) STRICT""",
    """CREATE TABLE sequence (
    example INTEGER PRIMARY KEY REFERENCES example (id),
    steps INTEGER NOT NULL CHECK (steps >= 0),
    first INTEGER NOT NULL CHECK (first >= 0),
    last INTEGER NOT NULL CHECK (last >= first),
    content BLOB NOT NULL
) STRICT""",
    """CREATE TABLE trace (
    layer INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    example INTEGER NOT NULL REFERENCES example (id),
    low REAL NOT NULL,
    high REAL NOT NULL,
    levels BLOB NOT NULL,
    PRIMARY KEY (layer, channel, example),
    FOREIGN KEY (layer, channel) REFERENCES unit (layer, channel)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE prediction (
    example INTEGER PRIMARY KEY REFERENCES example (id),
    outputs BLOB NOT NULL,
    scores BLOB NOT NULL
) STRICT""",
    """CREATE TABLE unit_statistic (
    layer INTEGER NOT NULL REFERENCES layer (id),
    name TEXT NOT NULL,
    numbers BLOB NOT NULL,
    PRIMARY KEY (layer, name)
) STRICT""",
    """CREATE TABLE finding (
    stage TEXT NOT NULL REFERENCES run (stage),
    layer INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (stage, layer, channel),
    FOREIGN KEY (layer, channel) REFERENCES unit (layer, channel)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE example_tokens (
    example INTEGER PRIMARY KEY REFERENCES example (id),
    repeated INTEGER NOT NULL CHECK (repeated >= 0),
    width INTEGER NOT NULL CHECK (width IN (1, 2, 4, 8)),
    ids BLOB NOT NULL
) STRICT""",
    """CREATE TABLE kept_layer (
    layer INTEGER PRIMARY KEY REFERENCES layer (id),
    zero INTEGER NOT NULL CHECK (zero IN (0, 128)),
    scales BLOB NOT NULL
) STRICT""",
    """CREATE TABLE kept_steps (
    layer INTEGER NOT NULL REFERENCES layer (id),
    example INTEGER NOT NULL REFERENCES example (id),
    first INTEGER NOT NULL CHECK (first >= 0),
    clipped INTEGER NOT NULL CHECK (clipped >= 0),
    levels BLOB NOT NULL,
    PRIMARY KEY (layer, example)
) STRICT""",
    """CREATE TABLE token (
    rank INTEGER PRIMARY KEY,
    id INTEGER NOT NULL UNIQUE CHECK (id >= 0),
    count INTEGER NOT NULL CHECK (count > 0)
) STRICT""",
    """CREATE TABLE token_ranking (
    layer INTEGER NOT NULL REFERENCES layer (id),
    channel INTEGER NOT NULL CHECK (channel >= 0),
    measure TEXT NOT NULL CHECK (measure IN ('state', 'change', 'next')),
    highest BLOB NOT NULL,
    highest_values BLOB NOT NULL,
    lowest BLOB NOT NULL,
    lowest_values BLOB NOT NULL,
    PRIMARY KEY (layer, channel, measure)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE track (
    id INTEGER PRIMARY KEY CHECK (id >= 0),
    name TEXT NOT NULL UNIQUE,
    measure TEXT NOT NULL CHECK (measure IN ('auc', 'r')),
    told INTEGER NOT NULL CHECK (told IN (0, 1)),
    steps INTEGER NOT NULL CHECK (steps >= 0)
) STRICT""",
    """CREATE TABLE track_score (
    layer INTEGER NOT NULL REFERENCES layer (id),
    track INTEGER NOT NULL REFERENCES track (id),
    trained BLOB NOT NULL,
    untrained BLOB NOT NULL,
    PRIMARY KEY (layer, track)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE remark (
    layer TEXT NOT NULL,
    channel INTEGER NOT NULL CHECK (channel >= 0),
    name TEXT NOT NULL,
    text TEXT NOT NULL,
    starred INTEGER NOT NULL CHECK (starred IN (0, 1)),
    written TEXT NOT NULL,
    PRIMARY KEY (layer, channel)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE step_attribution (
    layer INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    ranking TEXT NOT NULL CHECK (ranking = 'max' OR ranking = 'mean'),
    rank INTEGER NOT NULL CHECK (rank >= 0),
    method TEXT NOT NULL,
    steps INTEGER NOT NULL CHECK (steps > 0),
    width INTEGER NOT NULL CHECK (width > 0),
    kept REAL,
    conserved REAL,
    numbers BLOB NOT NULL,
    PRIMARY KEY (layer, channel, ranking, rank, method),
    FOREIGN KEY (layer, channel, ranking, rank) REFERENCES exemplar (layer, channel, ranking, rank)
) STRICT""",
    """CREATE TABLE last_steps (
    layer INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    rank INTEGER NOT NULL CHECK (rank >= 0),
    steps INTEGER NOT NULL CHECK (steps > 0),
    share REAL NOT NULL,
    PRIMARY KEY (layer, channel, rank, steps),
    FOREIGN KEY (layer, channel) REFERENCES unit (layer, channel)
) STRICT, WITHOUT ROWID""",
)

STEPS = (VERSION_1, VERSION_2)
VERSION = len(STEPS)


def upgrade(db: sqlite3.Connection, version: int) -> None:
    """Brings a study of `version` (0: an empty file) to the newest, inside the caller's transaction."""
    for step in STEPS[version:]:
        for statement in step:
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {VERSION}")


def foreign_objects(db: sqlite3.Connection, version: int) -> list[str]:
    """What differs between the schema of an open file and that of a study of `version`, as ends of sentences; empty if
    nothing does.

    Indexes that SQLite made by itself and the tables of its `ANALYZE` are let pass.
    """
    expected = {_name(statement): statement for step in STEPS[:version] for statement in step}
    found = {}
    differences = []
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_schema"):
        own = isinstance(name, str) and name.startswith(("sqlite_autoindex_", "sqlite_stat"))
        if own and (kind == "table" or (kind == "index" and sql is None)):
            continue
        found[name] = sql
        if kind != "table" or name not in expected:
            differences.append(f"it has a {kind} '{name}'")
        elif sql != expected[name]:
            differences.append(f"its table '{name}' is not as it should be")
    return differences + [f"its table '{name}' is missing" for name in expected if name not in found]


def _name(statement: str) -> str:
    return statement.removeprefix("CREATE TABLE ").split(" ", 1)[0]
