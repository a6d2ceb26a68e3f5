-- Runs of reconcile: which window of an account, how far each got and what it found. since and
-- until are what `asked` came to when the run began; after_* is the last recorded request that was
-- compared, listed_until and page where in the provider's list it goes on. drift counts by class.
create table reconciles (
    id           bigint      generated always as identity primary key,
    account      text        not null references accounts (name),
    asked        text        not null,
    dry_run      boolean     not null,
    since        timestamptz not null,
    until        timestamptz not null check (until > since),
    after_kind   text        not null default '',
    after_id     text        not null default '',
    is_listing   boolean     not null default false,
    listed_until timestamptz,
    page         text,
    compared     integer     not null default 0,
    expected     integer     not null default 0,
    unread       integer     not null default 0,
    drift        jsonb       not null default '{}',
    started_at   timestamptz not null default now(),
    leased_until timestamptz not null default '-infinity',
    lease_no     bigint      not null default 0,
    finished_at  timestamptz
);
create index reconciles_of_account on reconciles (account, asked, id);
create index reconciles_open on reconciles (account, leased_until) where finished_at is null;
