use parlant_backup_core::{Fingerprints, Scope, fingerprints};
use tokio_postgres::Client;

use crate::world::World;

async fn read(client: &Client) -> Fingerprints {
    client.batch_execute("begin isolation level repeatable read, read only").await.unwrap();
    let found = fingerprints(client, &Scope::default()).await.unwrap();
    client.batch_execute("commit").await.unwrap();
    found
}

/// Manifests outlive servers: `e2e/postgres-versions` asks every version.
#[tokio::test]
async fn fingerprints_are_the_same_number_on_every_version() {
    let world = World::empty().await;
    world
        .run(
            "create type mood as enum ('calm', 'cross');
            create table t (
              a int2, b int4, c int8, d text, e varchar(20), f char(5), g bool, h bytea, i uuid, j date, k timestamp,
              l timestamptz, m numeric, n float8, o float4, p jsonb, q json, r text[], s mood, u interval, v time, w inet,
              x int4range, y bit varying, z oid, \"odd \"\"n\" text, aa money, bb point, cc tsvector, dd xml, ee macaddr,
              ff timetz
            );
            insert into t select i, i, i, 'text ' || i, 'v' || i, 'c', i % 2 = 0, decode(md5(i::text), 'hex'),
              md5(i::text)::uuid, date '2020-01-01' + i, timestamp '2020-01-01 00:00:00.123456' + i * interval '1 hour',
              timestamptz '2020-01-01 00:00:00.1+00' + i * interval '1 hour', i / 7.0, i / 3.0::float8,
              i / 3.0::float4, jsonb_build_object('i', i, 'n', 1.50), '{\"a\": 1,  \"b\":2}', array['x', null, i::text],
              'cross', i * interval '1 day 3 min', '01:02:03', '10.0.0.1'::inet + i, int4range(i, i + 5),
              (i % 256)::bit(8), i, 'x', i::money, point(i, i / 3.0), to_tsvector('simple', 'hello world ' || i),
              '<a>b</a>', '08:00:2b:01:02:03', '04:05:06+02'
            from generate_series(1, 500) i;
            insert into t (a) values (null);
            create table nothing ();
            insert into nothing default values",
        )
        .await;
    let found = read(&world.database.superuser().await).await;
    assert_eq!((found["public.t"].rows, found["public.t"].hash.as_str()), (501, "224762344249698983393"));
    assert_eq!((found["public.nothing"].rows, found["public.nothing"].hash.as_str()), (1, "7025667271560692764"));
}

#[tokio::test]
async fn a_fingerprint_notices_every_kind_of_change_and_no_other() {
    let world = World::new().await;
    let client = world.database.superuser().await;
    let before = read(&client).await;
    for change in ["update item set flags = flags", "vacuum full item", "alter type mood rename to temper"] {
        world.run(change).await;
    }
    client
        .batch_execute("set datestyle = 'German'; set timezone = 'Asia/Kathmandu'; set extra_float_digits = -5")
        .await
        .unwrap();
    assert_eq!(read(&client).await, before, "the same rows in another order, read with other settings");

    let mut previous = before;
    for change in [
        "update item set amount = 1.00 where id = 7; update item set amount = 1.0 where id = 7",
        "update item set mood = 'calm' where id = 3",
        "update item set data = data || '{\"i\": 1.50}' where id = 3",
        "update item set list[2] = 'null' where id = 3",
        "update item set at = at + interval '1 microsecond' where id = 3",
        "update item set \"Odd \"\"name\" = '' where id = 3",
        "update item a set bytes = b.bytes from item b where (a.id, b.id) in ((1, 2), (2, 1))",
        "insert into \"Odd \"\"table\" values (5)",
        "update \"Odd \"\"table\" set x = 4 where x = 5 and ctid = (select max(ctid) from \"Odd \"\"table\" where x = 5)",
        "select lo_put(oid, 0, 'A') from pg_largeobject_metadata",
    ] {
        world.run(change).await;
        let now = read(&client).await;
        let changed = now.iter().filter(|(table, print)| previous.get(*table) != Some(*print)).count();
        assert_eq!(changed, 1, "{change}");
        previous = now;
    }
}
