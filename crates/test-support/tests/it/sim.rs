use chrono::TimeDelta;
use parlant_test_support::{database, signed, signed_cookie};

#[test]
fn tokens_are_signed_as_better_auth_does() {
    // Made by Better Auth 1.6.23.
    let (secret, token) = ("test-secret-0123456789abcdef0123456789abcdef", "fpa6o5m6CwP4xpdoYYVbM7gJmNmrMqAv");
    assert_eq!(signed(token, secret), format!("{token}.pt9G2nm/sR/p82anLDE/NLrYo0m1ueDKhFcakLU7hI8="));
    assert_eq!(signed_cookie(token, secret), format!("{token}.pt9G2nm%2FsR%2Fp82anLDE%2FNLrYo0m1ueDKhFcakLU7hI8%3D"));
}

#[tokio::test]
async fn rows_are_as_sim_writes_them() {
    let database = database().await;
    let sim = database.sim().await;
    let ada = sim.user("Ada").await;
    let workspace = sim.workspace(&ada).await;
    let token = sim.session(&ada).await;
    let row = sim
        .client()
        .query_one(
            "select length(u.id), length(s.id), length(s.token), length(w.id), p.permission_type::text,
                    s.expires_at - s.created_at = interval '30 days', u.banned,
                    abs(extract(epoch from s.created_at - (now() at time zone 'utc'))) < 60
             from \"user\" u join session s on s.user_id = u.id join workspace w on w.owner_id = u.id
             join permissions p on p.user_id = u.id and p.entity_type = 'workspace' and p.entity_id = w.id
             where s.token = $1 and w.id = $2",
            &[&token, &workspace],
        )
        .await
        .unwrap();
    let lengths: [i32; 4] = [0, 1, 2, 3].map(|column| row.get(column));
    assert_eq!(lengths, [32, 32, 32, 36]);
    assert_eq!(row.get::<_, &str>(4), "admin");
    assert!(row.get::<_, bool>(5) && !row.get::<_, bool>(6) && row.get::<_, bool>(7));
}

#[tokio::test]
async fn whatever_happens_in_sim_can_happen_here() {
    let database = database().await;
    let sim = database.sim().await;
    let (ada, bob) = (sim.user("Ada").await, sim.user("Bob").await);
    let workspace = sim.workspace(&ada).await;

    sim.permission(&bob, &workspace, "read").await;
    sim.permission(&bob, &workspace, "write").await;
    sim.revoke_permission(&bob, &workspace).await;

    let organization = sim.organization(&ada).await;
    sim.assign(&workspace, &organization).await;
    sim.member(&bob, &organization, "member").await;
    sim.member(&bob, &organization, "admin").await;

    let token = sim.session_for(&bob, TimeDelta::hours(-1)).await;
    sim.expire(&token, TimeDelta::hours(1)).await;
    sim.activate_organization(&token, &organization).await;
    sim.sign_out(&token).await;
    sim.ban(&bob, None).await;
    sim.ban(&bob, Some(TimeDelta::hours(-1))).await;
    sim.unban(&bob).await;
    sim.remove_member(&bob, &organization).await;

    sim.archive(&workspace).await;
    sim.restore(&workspace).await;
    sim.delete_workspace(&workspace).await;
    sim.delete_user(&bob).await;
    let left = "select (select count(*) from permissions where entity_id = $1), (select count(*) from \"user\"),
                       (select count(*) from session), (select count(*) from member)";
    let row = sim.client().query_one(left, &[&workspace]).await.unwrap();
    assert_eq!([0, 1, 2, 3].map(|column| row.get::<_, i64>(column)), [1, 1, 0, 1]);
}
