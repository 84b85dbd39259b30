BEGIN TRANSACTION;
CREATE TABLE boot (
    spool_id INTEGER NOT NULL REFERENCES spool (id),
    boot INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    last_t_ms INTEGER NOT NULL,
    first_received_ms INTEGER NOT NULL,
    PRIMARY KEY (spool_id, boot)
) WITHOUT ROWID;
INSERT INTO "boot" VALUES(1,1,1,68,5940000,1780023600000);
INSERT INTO "boot" VALUES(1,2,69,160,6240000,1788220800000);
INSERT INTO "boot" VALUES(2,1,1,3,7000,1788220860000);
CREATE TABLE bucket_hour (
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    n_in INTEGER NOT NULL,
    n_out INTEGER NOT NULL,
    undirected INTEGER NOT NULL,
    covered_ms INTEGER NOT NULL,
    faults INTEGER NOT NULL,
    calibrated_in REAL NOT NULL,
    calibrated_out REAL NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (site, door, start_ms)
) WITHOUT ROWID;
INSERT INTO "bucket_hour" VALUES('lab','main',1780009200000,0,0,0,200,0,0.0,0.0,1);
INSERT INTO "bucket_hour" VALUES('lab','main',1780012800000,10,10,0,3570000,1,15.0,10.0,2);
INSERT INTO "bucket_hour" VALUES('lab','main',1780016400000,7,6,0,1799800,0,10.5,6.0,2);
INSERT INTO "bucket_hour" VALUES('lab','main',1788206400000,0,0,0,200,0,0.0,0.0,1);
INSERT INTO "bucket_hour" VALUES('lab','main',1788210000000,10,10,0,3570000,1,15.0,10.0,2);
INSERT INTO "bucket_hour" VALUES('lab','main',1788213600000,8,6,0,1799800,1,12.0,6.0,0);
INSERT INTO "bucket_hour" VALUES('lab','side',1780009200000,0,0,0,200,0,0.0,0.0,1);
INSERT INTO "bucket_hour" VALUES('lab','side',1780012800000,0,0,0,3600000,0,0.0,0.0,2);
INSERT INTO "bucket_hour" VALUES('lab','side',1780016400000,0,0,0,1799800,0,0.0,0.0,2);
INSERT INTO "bucket_hour" VALUES('lab','side',1788206400000,0,0,0,200,0,0.0,0.0,1);
INSERT INTO "bucket_hour" VALUES('lab','side',1788210000000,0,0,0,3600000,0,0.0,0.0,2);
INSERT INTO "bucket_hour" VALUES('lab','side',1788213600000,0,0,1,1799800,1,0.0,0.0,0);
CREATE TABLE bucket_quarter (
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    n_in INTEGER NOT NULL,
    n_out INTEGER NOT NULL,
    undirected INTEGER NOT NULL,
    covered_ms INTEGER NOT NULL,
    faults INTEGER NOT NULL,
    calibrated_in REAL NOT NULL,
    calibrated_out REAL NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (site, door, start_ms)
) WITHOUT ROWID;
INSERT INTO "bucket_quarter" VALUES('lab','main',1780011900000,0,0,0,200,0,0.0,0.0,1);
INSERT INTO "bucket_quarter" VALUES('lab','main',1780012800000,3,2,0,900000,0,4.5,2.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','main',1780013700000,2,3,0,900000,0,3.0,3.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','main',1780014600000,3,2,0,870000,1,4.5,2.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','main',1780015500000,2,3,0,900000,0,3.0,3.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','main',1780016400000,3,2,0,900000,0,4.5,2.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','main',1780017300000,2,3,0,899800,0,3.0,3.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','main',1780018200000,2,1,0,0,0,3.0,1.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','main',1788209100000,0,0,0,200,0,0.0,0.0,1);
INSERT INTO "bucket_quarter" VALUES('lab','main',1788210000000,3,2,0,900000,0,4.5,2.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','main',1788210900000,2,3,0,900000,0,3.0,3.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','main',1788211800000,3,2,0,870000,1,4.5,2.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','main',1788212700000,2,3,0,900000,0,3.0,3.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','main',1788213600000,3,2,0,900000,0,4.5,2.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','main',1788214500000,2,3,0,899800,0,3.0,3.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','main',1788215400000,3,1,0,0,1,4.5,1.0,0);
INSERT INTO "bucket_quarter" VALUES('lab','side',1780011900000,0,0,0,200,0,0.0,0.0,1);
INSERT INTO "bucket_quarter" VALUES('lab','side',1780012800000,0,0,0,900000,0,0.0,0.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','side',1780013700000,0,0,0,900000,0,0.0,0.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','side',1780014600000,0,0,0,900000,0,0.0,0.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','side',1780015500000,0,0,0,900000,0,0.0,0.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','side',1780016400000,0,0,0,900000,0,0.0,0.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','side',1780017300000,0,0,0,899800,0,0.0,0.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','side',1788209100000,0,0,0,200,0,0.0,0.0,1);
INSERT INTO "bucket_quarter" VALUES('lab','side',1788210000000,0,0,0,900000,0,0.0,0.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','side',1788210900000,0,0,0,900000,0,0.0,0.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','side',1788211800000,0,0,0,900000,0,0.0,0.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','side',1788212700000,0,0,0,900000,0,0.0,0.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','side',1788213600000,0,0,0,900000,0,0.0,0.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','side',1788214500000,0,0,0,899800,0,0.0,0.0,2);
INSERT INTO "bucket_quarter" VALUES('lab','side',1788215400000,0,0,1,0,1,0.0,0.0,0);
CREATE TABLE clock (
    spool_id INTEGER NOT NULL REFERENCES spool (id),
    boot INTEGER NOT NULL,
    t_ms INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    utc_ms INTEGER NOT NULL,
    PRIMARY KEY (spool_id, boot, t_ms, seq)
) WITHOUT ROWID;
INSERT INTO "clock" VALUES(1,1,200,2,1780012800000);
INSERT INTO "clock" VALUES(1,2,200,70,1788210000000);
CREATE TABLE compacted_passages (
    node_id INTEGER NOT NULL REFERENCES node (id),
    barrier INTEGER NOT NULL,
    quarter_ms INTEGER NOT NULL,
    n_in INTEGER NOT NULL DEFAULT 0,
    n_out INTEGER NOT NULL DEFAULT 0,
    undirected INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (node_id, quarter_ms, barrier)
) WITHOUT ROWID;
INSERT INTO "compacted_passages" VALUES(1,0,1780012800000,3,2,0);
INSERT INTO "compacted_passages" VALUES(1,0,1780013700000,2,3,0);
INSERT INTO "compacted_passages" VALUES(1,0,1780014600000,3,2,0);
INSERT INTO "compacted_passages" VALUES(1,0,1780015500000,2,3,0);
INSERT INTO "compacted_passages" VALUES(1,0,1780016400000,3,2,0);
INSERT INTO "compacted_passages" VALUES(1,0,1780017300000,2,3,0);
INSERT INTO "compacted_passages" VALUES(1,0,1780018200000,2,1,0);
CREATE TABLE compacted_presses (
    node_id INTEGER NOT NULL REFERENCES node (id),
    button INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    quarter_ms INTEGER NOT NULL,
    presses INTEGER NOT NULL DEFAULT 0,
    suppressed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (node_id, quarter_ms, button, revision)
) WITHOUT ROWID;
INSERT INTO "compacted_presses" VALUES(1,1,1,1780012800000,1,0);
INSERT INTO "compacted_presses" VALUES(1,2,1,1780012800000,1,2);
INSERT INTO "compacted_presses" VALUES(1,0,1,1780013700000,1,0);
INSERT INTO "compacted_presses" VALUES(1,1,1,1780013700000,1,2);
INSERT INTO "compacted_presses" VALUES(1,0,1,1780014600000,1,2);
INSERT INTO "compacted_presses" VALUES(1,2,1,1780014600000,1,0);
INSERT INTO "compacted_presses" VALUES(1,1,1,1780015500000,1,0);
INSERT INTO "compacted_presses" VALUES(1,2,2,1780015500000,1,2);
INSERT INTO "compacted_presses" VALUES(1,0,2,1780016400000,1,0);
INSERT INTO "compacted_presses" VALUES(1,1,2,1780016400000,1,2);
INSERT INTO "compacted_presses" VALUES(1,0,2,1780017300000,1,2);
INSERT INTO "compacted_presses" VALUES(1,2,2,1780017300000,1,0);
INSERT INTO "compacted_presses" VALUES(1,1,2,1780018200000,1,0);
INSERT INTO "compacted_presses" VALUES(1,2,2,1780018200000,1,2);
CREATE TABLE dirty (
    node_id INTEGER NOT NULL REFERENCES node (id),
    quarter_ms INTEGER NOT NULL,
    PRIMARY KEY (quarter_ms, node_id)
) WITHOUT ROWID;
INSERT INTO "dirty" VALUES(1,1788215400000);
CREATE TABLE dirty_bucket (
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    quarter_ms INTEGER NOT NULL,
    PRIMARY KEY (quarter_ms, site, door)
) WITHOUT ROWID;
INSERT INTO "dirty_bucket" VALUES('lab','gone',1780012800000);
CREATE TABLE feedback_hour (
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    presses INTEGER NOT NULL,
    suppressed INTEGER NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (site, door, start_ms, question, answer)
) WITHOUT ROWID;
INSERT INTO "feedback_hour" VALUES('lab','exit','revision-2','poor',1780012800000,1,2,1);
INSERT INTO "feedback_hour" VALUES('lab','exit','satisfied','fair',1780012800000,3,2,1);
INSERT INTO "feedback_hour" VALUES('lab','exit','satisfied','good',1780012800000,2,2,1);
INSERT INTO "feedback_hour" VALUES('lab','exit','satisfied','poor',1780012800000,2,2,1);
INSERT INTO "feedback_hour" VALUES('lab','exit','revision-2','fair',1780016400000,2,2,1);
INSERT INTO "feedback_hour" VALUES('lab','exit','revision-2','good',1780016400000,2,2,1);
INSERT INTO "feedback_hour" VALUES('lab','exit','revision-2','poor',1780016400000,2,2,1);
INSERT INTO "feedback_hour" VALUES('lab','exit','revision-2','poor',1788210000000,1,2,1);
INSERT INTO "feedback_hour" VALUES('lab','exit','satisfied','fair',1788210000000,3,2,1);
INSERT INTO "feedback_hour" VALUES('lab','exit','satisfied','good',1788210000000,2,2,1);
INSERT INTO "feedback_hour" VALUES('lab','exit','satisfied','poor',1788210000000,2,2,1);
INSERT INTO "feedback_hour" VALUES('lab','exit','revision-2','fair',1788213600000,2,2,0);
INSERT INTO "feedback_hour" VALUES('lab','exit','revision-2','good',1788213600000,2,2,0);
INSERT INTO "feedback_hour" VALUES('lab','exit','revision-2','poor',1788213600000,2,2,0);
CREATE TABLE feedback_quarter (
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    presses INTEGER NOT NULL,
    suppressed INTEGER NOT NULL,
    PRIMARY KEY (site, door, start_ms, question, answer)
) WITHOUT ROWID;
INSERT INTO "feedback_quarter" VALUES('lab','exit','satisfied','fair',1780012800000,1,0);
INSERT INTO "feedback_quarter" VALUES('lab','exit','satisfied','poor',1780012800000,1,2);
INSERT INTO "feedback_quarter" VALUES('lab','exit','satisfied','fair',1780013700000,1,2);
INSERT INTO "feedback_quarter" VALUES('lab','exit','satisfied','good',1780013700000,1,0);
INSERT INTO "feedback_quarter" VALUES('lab','exit','satisfied','good',1780014600000,1,2);
INSERT INTO "feedback_quarter" VALUES('lab','exit','satisfied','poor',1780014600000,1,0);
INSERT INTO "feedback_quarter" VALUES('lab','exit','revision-2','poor',1780015500000,1,2);
INSERT INTO "feedback_quarter" VALUES('lab','exit','satisfied','fair',1780015500000,1,0);
INSERT INTO "feedback_quarter" VALUES('lab','exit','revision-2','fair',1780016400000,1,2);
INSERT INTO "feedback_quarter" VALUES('lab','exit','revision-2','good',1780016400000,1,0);
INSERT INTO "feedback_quarter" VALUES('lab','exit','revision-2','good',1780017300000,1,2);
INSERT INTO "feedback_quarter" VALUES('lab','exit','revision-2','poor',1780017300000,1,0);
INSERT INTO "feedback_quarter" VALUES('lab','exit','revision-2','fair',1780018200000,1,0);
INSERT INTO "feedback_quarter" VALUES('lab','exit','revision-2','poor',1780018200000,1,2);
INSERT INTO "feedback_quarter" VALUES('lab','exit','satisfied','fair',1788210000000,1,0);
INSERT INTO "feedback_quarter" VALUES('lab','exit','satisfied','poor',1788210000000,1,2);
INSERT INTO "feedback_quarter" VALUES('lab','exit','satisfied','fair',1788210900000,1,2);
INSERT INTO "feedback_quarter" VALUES('lab','exit','satisfied','good',1788210900000,1,0);
INSERT INTO "feedback_quarter" VALUES('lab','exit','satisfied','good',1788211800000,1,2);
INSERT INTO "feedback_quarter" VALUES('lab','exit','satisfied','poor',1788211800000,1,0);
INSERT INTO "feedback_quarter" VALUES('lab','exit','revision-2','poor',1788212700000,1,2);
INSERT INTO "feedback_quarter" VALUES('lab','exit','satisfied','fair',1788212700000,1,0);
INSERT INTO "feedback_quarter" VALUES('lab','exit','revision-2','fair',1788213600000,1,2);
INSERT INTO "feedback_quarter" VALUES('lab','exit','revision-2','good',1788213600000,1,0);
INSERT INTO "feedback_quarter" VALUES('lab','exit','revision-2','good',1788214500000,1,2);
INSERT INTO "feedback_quarter" VALUES('lab','exit','revision-2','poor',1788214500000,1,0);
INSERT INTO "feedback_quarter" VALUES('lab','exit','revision-2','fair',1788215400000,1,0);
INSERT INTO "feedback_quarter" VALUES('lab','exit','revision-2','poor',1788215400000,1,2);
CREATE TABLE island (
    spool_id INTEGER NOT NULL REFERENCES spool (id),
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (spool_id, first)
) WITHOUT ROWID;
INSERT INTO "island" VALUES(1,157,160);
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('places','de187357fc8901a2e5cf905f6934cd49');
INSERT INTO "meta" VALUES('schema_version','1');
CREATE TABLE node (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
INSERT INTO "node" VALUES(1,'ff-1');
INSERT INTO "node" VALUES(2,'ff-2');
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never reused: "done" for an old line must not remove a new one
    key TEXT NOT NULL UNIQUE,
    line TEXT NOT NULL,
    put_ms INTEGER NOT NULL
);
INSERT INTO "outbox" VALUES(48,'footfall_quarter|lab|main|1788213600000','footfall_quarter,door=main,site=lab calibrated_in=4.5,calibrated_out=2,covered_s=900i,faults=0i,in=3i,out=2i,undirected=0i 1788213600000000000',1788216060000);
INSERT INTO "outbox" VALUES(49,'footfall_quarter|lab|side|1788213600000','footfall_quarter,door=side,site=lab calibrated_in=0,calibrated_out=0,covered_s=900i,faults=0i,in=0i,out=0i,undirected=0i 1788213600000000000',1788216060000);
INSERT INTO "outbox" VALUES(50,'footfall_quarter|lab|main|1788214500000','footfall_quarter,door=main,site=lab calibrated_in=3,calibrated_out=3,covered_s=900i,faults=0i,in=2i,out=3i,undirected=0i 1788214500000000000',1788216060000);
INSERT INTO "outbox" VALUES(51,'footfall_quarter|lab|side|1788214500000','footfall_quarter,door=side,site=lab calibrated_in=0,calibrated_out=0,covered_s=900i,faults=0i,in=0i,out=0i,undirected=0i 1788214500000000000',1788216060000);
INSERT INTO "outbox" VALUES(52,'occupancy|lab|1788216060000','occupancy,site=lab capacity=60i,in_today=8i,out_today=6i 1788216060000000000',1788216060000);
CREATE TABLE pending (
    what TEXT NOT NULL,                     -- quarter, hour or feedback
    site TEXT NOT NULL,
    door TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,                -- the bucket's end; the grace comes on top
    PRIMARY KEY (what, site, door, start_ms)
) WITHOUT ROWID;
INSERT INTO "pending" VALUES('quarter','lab','main',1788215400000,1788216900000);
INSERT INTO "pending" VALUES('quarter','lab','side',1788215400000,1788216900000);
INSERT INTO "pending" VALUES('feedback','lab','exit',1788213600000,1788217800000);
INSERT INTO "pending" VALUES('hour','lab','main',1788213600000,1788217800000);
INSERT INTO "pending" VALUES('hour','lab','side',1788213600000,1788217800000);
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    times INTEGER NOT NULL DEFAULT 1,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    source TEXT NOT NULL,                   -- the node, or the topic where it names none; each has its share of room
    origin TEXT NOT NULL,                   -- the topic, or "node spool seq" of a single record
    payload BLOB NOT NULL,
    digest BLOB NOT NULL UNIQUE
);
INSERT INTO "quarantine" VALUES(1,1788220860000,1788220860000,1,'bad record','kind is ''Z''','ff-1','ff-1 8f3a01c2 158',X'5B312C225A225D',X'8133D1FEFE6EB81382685F5FB9CCEC6B');
INSERT INTO "quarantine" VALUES(2,1788220860000,1788220860000,1,'bad batch','r is None, expected a list of records','ff-2','footfall/1/ff-2/records',X'7B2276223A317D',X'82277FF0B7750AC81DE71F8AC62D5335');
CREATE TABLE record (
    spool_id INTEGER NOT NULL REFERENCES spool (id),
    seq INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    t_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    a, b, c,
    utc_ms INTEGER,                         -- NULL: the boot has not learned the time
    PRIMARY KEY (spool_id, seq)
) WITHOUT ROWID;
INSERT INTO "record" VALUES(1,1,1,0,'R','power','0.1.0',1,1780012799800);
INSERT INTO "record" VALUES(1,2,1,200,'C',1780012800000,'gw',NULL,1780012800000);
INSERT INTO "record" VALUES(1,7,1,600000,'A',0,2,0,1780013399800);
INSERT INTO "record" VALUES(1,13,1,1200000,'A',0,5,1,1780013999800);
INSERT INTO "record" VALUES(1,21,1,1800000,'A',0,7,2,1780014599800);
INSERT INTO "record" VALUES(1,26,1,2400000,'A',0,10,3,1780015199800);
INSERT INTO "record" VALUES(1,27,1,2400000,'F',0,1,1,1780015199800);
INSERT INTO "record" VALUES(1,28,1,2430000,'F',0,1,0,1780015229800);
INSERT INTO "record" VALUES(1,36,1,3000000,'A',0,12,4,1780015799800);
INSERT INTO "record" VALUES(1,43,1,3600000,'A',0,15,5,1780016399800);
INSERT INTO "record" VALUES(1,48,1,4200000,'A',0,17,5,1780016999800);
INSERT INTO "record" VALUES(1,55,1,4800000,'A',0,20,6,1780017599800);
INSERT INTO "record" VALUES(1,62,1,5400000,'A',0,22,7,1780018199800);
INSERT INTO "record" VALUES(1,69,2,0,'R','power','0.1.0',1,1788209999800);
INSERT INTO "record" VALUES(1,70,2,200,'C',1788210000000,'gw',NULL,1788210000000);
INSERT INTO "record" VALUES(1,71,2,180000,'P',0,1,403,1788210179800);
INSERT INTO "record" VALUES(1,72,2,360000,'P',0,-1,406,1788210359800);
INSERT INTO "record" VALUES(1,73,2,420000,'B',1,1,NULL,1788210419800);
INSERT INTO "record" VALUES(1,74,2,540000,'P',0,1,409,1788210539800);
INSERT INTO "record" VALUES(1,75,2,600000,'A',0,2,0,1788210599800);
INSERT INTO "record" VALUES(1,76,2,720000,'P',0,-1,412,1788210719800);
INSERT INTO "record" VALUES(1,77,2,840000,'B',2,1,NULL,1788210839800);
INSERT INTO "record" VALUES(1,78,2,840900,'Q',2,2,NULL,1788210840700);
INSERT INTO "record" VALUES(1,79,2,900000,'P',0,1,415,1788210899800);
INSERT INTO "record" VALUES(1,80,2,1080000,'P',0,-1,418,1788211079800);
INSERT INTO "record" VALUES(1,81,2,1200000,'A',0,5,1,1788211199800);
INSERT INTO "record" VALUES(1,82,2,1260000,'P',0,1,421,1788211259800);
INSERT INTO "record" VALUES(1,83,2,1260000,'B',0,1,NULL,1788211259800);
INSERT INTO "record" VALUES(1,84,2,1440000,'P',0,-1,424,1788211439800);
INSERT INTO "record" VALUES(1,85,2,1620000,'P',0,1,427,1788211619800);
INSERT INTO "record" VALUES(1,86,2,1680000,'B',1,1,NULL,1788211679800);
INSERT INTO "record" VALUES(1,87,2,1680900,'Q',1,2,NULL,1788211680700);
INSERT INTO "record" VALUES(1,88,2,1800000,'P',0,-1,430,1788211799800);
INSERT INTO "record" VALUES(1,89,2,1800000,'A',0,7,2,1788211799800);
INSERT INTO "record" VALUES(1,90,2,1980000,'P',0,1,433,1788211979800);
INSERT INTO "record" VALUES(1,91,2,2100000,'B',2,1,NULL,1788212099800);
INSERT INTO "record" VALUES(1,92,2,2160000,'P',0,-1,436,1788212159800);
INSERT INTO "record" VALUES(1,93,2,2340000,'P',0,1,439,1788212339800);
INSERT INTO "record" VALUES(1,94,2,2400000,'A',0,10,3,1788212399800);
INSERT INTO "record" VALUES(1,95,2,2400000,'F',0,1,1,1788212399800);
INSERT INTO "record" VALUES(1,96,2,2430000,'F',0,1,0,1788212429800);
INSERT INTO "record" VALUES(1,97,2,2440000,'E',0,1,NULL,1788212439800);
INSERT INTO "record" VALUES(1,98,2,2520000,'P',0,-1,442,1788212519800);
INSERT INTO "record" VALUES(1,99,2,2520000,'B',0,1,NULL,1788212519800);
INSERT INTO "record" VALUES(1,100,2,2520900,'Q',0,2,NULL,1788212520700);
INSERT INTO "record" VALUES(1,101,2,2700000,'P',0,1,445,1788212699800);
INSERT INTO "record" VALUES(1,102,2,2880000,'P',0,-1,448,1788212879800);
INSERT INTO "record" VALUES(1,103,2,2940000,'B',1,1,NULL,1788212939800);
INSERT INTO "record" VALUES(1,104,2,3000000,'A',0,12,4,1788212999800);
INSERT INTO "record" VALUES(1,105,2,3060000,'P',0,1,451,1788213059800);
INSERT INTO "record" VALUES(1,106,2,3240000,'P',0,-1,454,1788213239800);
INSERT INTO "record" VALUES(1,107,2,3360000,'B',2,2,NULL,1788213359800);
INSERT INTO "record" VALUES(1,108,2,3360900,'Q',2,2,NULL,1788213360700);
INSERT INTO "record" VALUES(1,109,2,3420000,'P',0,1,457,1788213419800);
INSERT INTO "record" VALUES(1,110,2,3600000,'P',0,-1,460,1788213599800);
INSERT INTO "record" VALUES(1,111,2,3600000,'A',0,15,5,1788213599800);
INSERT INTO "record" VALUES(1,112,2,3780000,'P',0,1,463,1788213779800);
INSERT INTO "record" VALUES(1,113,2,3780000,'B',0,2,NULL,1788213779800);
INSERT INTO "record" VALUES(1,114,2,3960000,'P',0,-1,466,1788213959800);
INSERT INTO "record" VALUES(1,115,2,4140000,'P',0,1,469,1788214139800);
INSERT INTO "record" VALUES(1,116,2,4200000,'A',0,17,5,1788214199800);
INSERT INTO "record" VALUES(1,117,2,4200000,'B',1,2,NULL,1788214199800);
INSERT INTO "record" VALUES(1,118,2,4200900,'Q',1,2,NULL,1788214200700);
INSERT INTO "record" VALUES(1,119,2,4320000,'P',0,-1,472,1788214319800);
INSERT INTO "record" VALUES(1,120,2,4500000,'P',0,1,475,1788214499800);
INSERT INTO "record" VALUES(1,121,2,4620000,'B',2,2,NULL,1788214619800);
INSERT INTO "record" VALUES(1,122,2,4680000,'P',0,-1,478,1788214679800);
INSERT INTO "record" VALUES(1,123,2,4800000,'A',0,20,6,1788214799800);
INSERT INTO "record" VALUES(1,124,2,4860000,'P',0,1,481,1788214859800);
INSERT INTO "record" VALUES(1,125,2,5040000,'P',0,-1,484,1788215039800);
INSERT INTO "record" VALUES(1,126,2,5040000,'B',0,2,NULL,1788215039800);
INSERT INTO "record" VALUES(1,127,2,5040900,'Q',0,2,NULL,1788215040700);
INSERT INTO "record" VALUES(1,128,2,5220000,'P',0,1,487,1788215219800);
INSERT INTO "record" VALUES(1,129,2,5400000,'P',0,-1,490,1788215399800);
INSERT INTO "record" VALUES(1,130,2,5400000,'A',0,22,7,1788215399800);
INSERT INTO "record" VALUES(1,131,2,5460000,'B',1,2,NULL,1788215459800);
INSERT INTO "record" VALUES(1,132,2,5580000,'P',0,1,493,1788215579800);
INSERT INTO "record" VALUES(1,133,2,5760000,'P',0,-1,496,1788215759800);
INSERT INTO "record" VALUES(1,134,2,5880000,'B',2,2,NULL,1788215879800);
INSERT INTO "record" VALUES(1,135,2,5880900,'Q',2,2,NULL,1788215880700);
INSERT INTO "record" VALUES(1,136,2,5940000,'P',0,1,499,1788215939800);
INSERT INTO "record" VALUES(1,137,2,6060000,'L',5,NULL,NULL,1788216059800);
INSERT INTO "record" VALUES(1,138,0,0,'-',NULL,NULL,NULL,NULL);
INSERT INTO "record" VALUES(1,139,0,0,'-',NULL,NULL,NULL,NULL);
INSERT INTO "record" VALUES(1,140,0,0,'-',NULL,NULL,NULL,NULL);
INSERT INTO "record" VALUES(1,141,0,0,'-',NULL,NULL,NULL,NULL);
INSERT INTO "record" VALUES(1,142,0,0,'-',NULL,NULL,NULL,NULL);
INSERT INTO "record" VALUES(1,143,0,0,'-',NULL,NULL,NULL,NULL);
INSERT INTO "record" VALUES(1,144,0,0,'-',NULL,NULL,NULL,NULL);
INSERT INTO "record" VALUES(1,145,0,0,'-',NULL,NULL,NULL,NULL);
INSERT INTO "record" VALUES(1,146,0,0,'-',NULL,NULL,NULL,NULL);
INSERT INTO "record" VALUES(1,157,2,6120000,'P',0,1,400,1788216119800);
INSERT INTO "record" VALUES(1,158,2,0,'?',NULL,NULL,NULL,NULL);
INSERT INTO "record" VALUES(1,159,2,6180000,'P',1,0,10,1788216179800);
INSERT INTO "record" VALUES(1,160,2,6240000,'P',0,1,400,1788216239800);
INSERT INTO "record" VALUES(2,1,1,5000,'P',0,1,300,NULL);
INSERT INTO "record" VALUES(2,2,1,6000,'P',0,-1,300,NULL);
INSERT INTO "record" VALUES(2,3,1,7000,'B',0,1,NULL,NULL);
CREATE TABLE rejected (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    line TEXT NOT NULL,
    reason TEXT NOT NULL,
    rejected_ms INTEGER NOT NULL
);
INSERT INTO "rejected" VALUES(1,'footfall_quarter|lab|side|1788212700000','footfall_quarter,door=side,site=lab calibrated_in=0,calibrated_out=0,covered_s=900i,faults=0i,in=0i,out=0i,undirected=0i 1788212700000000000','partial write: points beyond retention policy',1788220800000);
CREATE TABLE spool (
    id INTEGER PRIMARY KEY,
    node_id INTEGER NOT NULL REFERENCES node (id),
    name TEXT NOT NULL,
    contiguous INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,        -- numbers that are gone: the node said so, or a person gave them up
    last_received_ms INTEGER NOT NULL DEFAULT 0,
    UNIQUE (node_id, name)
);
INSERT INTO "spool" VALUES(1,1,'8f3a01c2',146,10,1788220980000);
INSERT INTO "spool" VALUES(2,2,'00c0ffee',3,0,1788220860000);
CREATE TABLE tally (
    name TEXT PRIMARY KEY,
    n INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "tally" VALUES('records',144);
INSERT INTO "tally" VALUES('refused:bad batch',1);
INSERT INTO "tally" VALUES('refused:bad record',1);
INSERT INTO "tally" VALUES('rejected',1);
CREATE TABLE waiver (
    spool_id INTEGER NOT NULL REFERENCES spool (id),
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    waived_ms INTEGER NOT NULL
);
INSERT INTO "waiver" VALUES(1,142,146,'anna','the board burnt down',1788220920000);
CREATE INDEX person_by_time ON record (spool_id, utc_ms) WHERE kind IN ('P', 'B', 'Q', 'E');
CREATE INDEX trouble_by_time ON record (spool_id, utc_ms) WHERE kind IN ('F', 'L');
CREATE INDEX alive_by_time ON record (spool_id, utc_ms) WHERE kind = 'A';
CREATE INDEX alive_by_t ON record (spool_id, boot, t_ms) WHERE kind = 'A';
CREATE INDEX fault_by_beam ON record (spool_id, boot, a, b, t_ms) WHERE kind = 'F';
CREATE INDEX pending_by_due ON pending (due_ms);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',52);
COMMIT;
