-- The tables that Better Auth needs and the bridge never reads, as Sim has them.
create table account (
    id                       text primary key,
    account_id               text not null,
    provider_id              text not null,
    user_id                  text not null references "user" (id) on delete cascade,
    access_token             text,
    refresh_token            text,
    id_token                 text,
    access_token_expires_at  timestamp,
    refresh_token_expires_at timestamp,
    scope                    text,
    password                 text,
    created_at               timestamp not null,
    updated_at               timestamp not null
);

create table invitation (
    id              text primary key,
    email           text not null,
    inviter_id      text not null references "user" (id) on delete cascade,
    organization_id text not null references organization (id) on delete cascade,
    role            text not null,
    status          text not null,
    expires_at      timestamp not null,
    created_at      timestamp not null default now()
);

create table verification (
    id         text primary key,
    identifier text not null,
    value      text not null,
    expires_at timestamp not null,
    created_at timestamp,
    updated_at timestamp
);
