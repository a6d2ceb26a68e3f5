-- The record of everything we were told, read, decided and said. Forward only; never edited
-- after release. Times are the database's clock unless a column says otherwise.

-- Accounts: what the configuration cannot know.
create table accounts (
    name          text primary key,
    provider      text        not null,
    state         text        not null default 'ok' check (state in ('ok', 'paused', 'silent')),
    reason        text,
    paused_until  timestamptz not null default '-infinity',
    pauses        integer     not null default 0,
    last_read_at  timestamptz,
    added_at      timestamptz not null default now()
);

-- Calls granted lately, as slices {at, calls}: a sliding window shared by all workers.
create table budgets (
    account text not null references accounts (name),
    share   text not null check (share in ('all', 'discovery')),
    granted_at    timestamptz[] not null default '{}',
    granted_calls integer[]     not null default '{}',
    primary key (account, share)
);

-- Grants up to `wanted` calls so that no window of `window_seconds` holds more than `calls_max`.
-- Answers how many were granted, how many this window has used, and when the next call fits.
-- A paused account gets nothing before its pause ends, and then one call in 15 s to try, until
-- one is answered.
create function draw_calls(
    the_account text, the_share text, wanted integer, calls_max integer, window_seconds float8,
    out granted integer, out used integer, out wait_seconds float8, out paused boolean
) language plpgsql as $$
declare
    at_time timestamptz;
    since   timestamptz;
    trying  timestamptz;
    until   timestamptz;
    times   timestamptz[];
    calls   integer[];
begin
    select granted_at, granted_calls into times, calls
      from budgets where account = the_account and share = the_share for update;
    at_time := clock_timestamp();
    since := at_time - make_interval(secs => window_seconds);
    select a.state = 'paused', a.paused_until into paused, until
      from accounts as a where a.name = the_account;
    if until > at_time then
        granted := 0;
        used := 0;
        wait_seconds := extract(epoch from until - at_time);
        return;
    end if;
    trying := case when paused then at_time - interval '15 s' else at_time end;
    while coalesce(array_length(times, 1), 0) > 0 and times[1] <= least(since, trying) loop
        times := times[2:];
        calls := calls[2:];
    end loop;
    used := coalesce((select sum(c) from unnest(times, calls) as s (t, c) where t > since), 0);
    granted := greatest(0, least(wanted, calls_max - used));
    if paused then
        granted := case when exists (select from unnest(times) as t
                                      where t > greatest(until, trying))
                        then 0 else least(granted, 1) end;
    end if;
    wait_seconds := 0;
    if granted > 0 then
        times := times || at_time;
        calls := calls || granted;
        used := used + granted;
    elsif paused then
        wait_seconds := 1;
    elsif array_length(times, 1) > 0 then
        wait_seconds := window_seconds - extract(epoch from at_time - times[1]);
    end if;
    update budgets set granted_at = times, granted_calls = calls
     where account = the_account and share = the_share;
end $$;

-- Inbox: every webhook item as it arrived. Dropped by day, never changed.
create table events (
    day         date        not null,
    id          text        not null,
    account     text        not null,
    kind        text,
    provider_id text,
    event_id    text,
    received_at timestamptz not null,
    verdict     text        not null
                check (verdict in ('accepted', 'parked', 'set_aside', 'refused')),
    reason      text,
    body_sha256 bytea       not null,
    body        bytea       not null,
    traceparent text,
    primary key (day, id)
) partition by range (day);
create table events_default partition of events default;
create unique index events_once on events (account, event_id, day) where event_id is not null;
create index events_by_time on events (account, received_at);
create index events_of_request on events (account, provider_id, received_at);

-- Work: one narrow row per thing that may have to be read. Lives as long as its request.
create table due (
    account      text        not null,
    kind         text        not null,
    provider_id  text        not null,
    wanted       bigint      not null default 1,
    done         bigint      not null default 0,
    due_at       timestamptz not null default now(),
    not_before   timestamptz not null default '-infinity',
    leased_until timestamptz not null default '-infinity',
    lease_no     bigint      not null default 0,
    urgency      smallint    not null default 0 check (urgency between 0 and 2),
    known        boolean     not null default false,
    observed_by  text        not null default 'webhook'
                 check (observed_by in ('webhook', 'poll', 'sweep', 'operator')),
    rereads      smallint    not null default 0,
    hurry        smallint    not null default 0,
    crashes      integer     not null default 0,
    errors       integer     not null default 0,
    failing_since timestamptz,
    parked       text,
    first_due_at timestamptz not null default now(),
    primary key (account, kind, provider_id),
    check (done <= wanted)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
create index due_next on due (urgency, due_at);
create index due_parked on due (account) where parked is not null;

-- What the ERP wants paid.
create table orders (
    id          text        primary key,
    reference   text        not null unique,
    registered  boolean     not null default false,
    registered_as bytea,    -- hash of what was registered: the same content again is no conflict
    withdrawn   boolean     not null default false,
    version     bigint      not null default 1,
    status      text,
    rule        text,
    currency    text,
    amount      bigint      check (amount > 0),
    received    bigint      not null default 0,
    refunded    bigint      not null default 0,
    taken_back  bigint      not null default 0,
    booked      bigint      not null default 0,
    sequence    bigint      not null default 0,
    attention   text[]      not null default '{}',
    metadata    jsonb       not null default '{}',
    chain       bytea       not null default '',
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
) with (fillfactor = 80);
create index orders_by_update on orders (updated_at, id);
create index orders_by_status on orders (status, updated_at);

-- The thing asked of a payer at a provider, as last judged.
create table requests (
    id              text        primary key,
    account         text        not null,
    kind            text        not null,
    provider_id     text        not null,
    direction       text        not null default 'in' check (direction in ('in', 'out')),
    registered      boolean     not null default false,
    order_id        text        references orders (id),
    reference       text,
    status          text,
    provider_status text,
    final           boolean     not null default false,
    reason          text,
    currency        text,
    amount          bigint,
    received        bigint      not null default 0 check (received >= 0),
    refunded        bigint      not null default 0 check (refunded >= 0),
    taken_back      bigint      not null default 0 check (taken_back >= 0),
    booked          bigint      not null default 0 check (booked >= 0),
    version         bigint,
    lease_no        bigint      not null default 0,
    sequence        bigint      not null default 0,
    parked          text,
    attention       text[]      not null default '{}',
    chain           bytea       not null default '',
    occurred_at     timestamptz,
    first_seen_at   timestamptz not null default now(),
    observed_at     timestamptz,
    updated_at      timestamptz not null default now(),
    unique (account, kind, provider_id),
    check ((status is null) = (sequence = 0))
) with (fillfactor = 80);
create index requests_of_order on requests (order_id);
create index requests_by_update on requests (updated_at, id);
create index requests_by_reference on requests (reference);
create index requests_by_provider_id on requests (provider_id);

-- Ids at the provider that belong to a request: attempts, refunds, payments.
create table related (
    account     text not null,
    kind        text not null,
    provider_id text not null,
    request_id  text not null references requests (id),
    related_as  text not null
                check (related_as in ('payment', 'attempt', 'refund', 'charge_back', 'reversal')),
    primary key (account, kind, provider_id)
);
create index related_of_request on related (request_id);

-- Every read that taught us something, with the raw answers. Dropped by day.
create table observations (
    day           date        not null,
    id            text        not null,
    request_id    text        not null,
    read_at       timestamptz not null,
    lease_no      bigint      not null,
    version       bigint,
    observed_by   text        not null,
    verdict       text        not null,
    answer_sha256 bytea       not null,
    answer        bytea,
    primary key (day, id)
) partition by range (day);
create table observations_default partition of observations default;
create index observations_of_request on observations (request_id, read_at);

-- History: append-only, chained by hash per subject. occurred_at is the provider's clock,
-- recorded_at is when we learned it.
create table transitions (
    id            text        primary key,
    subject       text        not null check (subject in ('request', 'order')),
    subject_id    text        not null,
    sequence      bigint      not null check (sequence > 0),
    type          text        not null,
    before        jsonb,
    after         jsonb       not null,
    correction    boolean     not null default false,
    observed_by   text        not null,
    observation_id text,
    answer_sha256 bytea,
    lease_no      bigint,
    version       bigint,
    occurred_at   timestamptz,
    recorded_at   timestamptz not null,
    chained_from  bytea       not null,
    hash          bytea       not null,
    unique (subject_id, sequence)
);
create index transitions_by_time on transitions (recorded_at);

-- Outbox: the exact bytes of every message. position is its place in the feed, given after commit.
create table notifications (
    serial      bigint      generated always as identity primary key,
    id          text        not null unique,
    type        text        not null,
    subject     text        not null check (subject in ('request', 'order')),
    subject_id  text        not null,
    sequence    bigint      not null,
    account     text,
    reference   text,
    body        bytea       not null,
    traceparent text,
    created_at  timestamptz not null,
    position    bigint      unique,
    unique (subject_id, sequence),
    foreign key (subject_id, sequence) references transitions (subject_id, sequence)
);
create index notifications_unplaced on notifications (serial) where position is null;
create sequence feed_positions;

-- Lanes: the health of each endpoint.
create table endpoints (
    name             text primary key,
    kind             text        not null,
    configured       boolean     not null default true,
    state            text        not null default 'open'
                     check (state in ('open', 'on_hold', 'probing', 'draining', 'paused')),
    reason           text,
    failures_in_row  integer     not null default 0,
    first_failed     text,
    several_failed   boolean     not null default false,
    failing_since    timestamptz,
    probe_wait_seconds float8    not null default 15,
    probe_at         timestamptz,
    draining_since   timestamptz,
    credit           float8      not null default 0,
    credited_at      timestamptz,
    last_success_at  timestamptz,
    added_at         timestamptz not null default now()
);

create table deliveries (
    id              text        primary key,
    notification_id text        not null references notifications (id),
    endpoint        text        not null references endpoints (name),
    type            text        not null,
    subject_id      text        not null,
    sequence        bigint      not null,
    reference       text,
    state           text        not null default 'waiting'
                    check (state in ('waiting', 'delivered', 'dead', 'superseded')),
    attempts_made   integer     not null default 0, -- those that count in the schedule
    tries           integer     not null default 0, -- all of them, probes too
    due_at          timestamptz not null default now(),
    leased_until    timestamptz not null default '-infinity',
    lease_no        bigint      not null default 0,
    created_at      timestamptz not null default now(),
    closed_at       timestamptz,
    unique (notification_id, endpoint),
    check ((state = 'waiting') = (closed_at is null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
-- What waits is closed_at is null to these two and state = 'waiting' to the next, so that a search
-- for the first of a subject cannot take one of these: while few wait, all three look as cheap.
create index deliveries_waiting on deliveries (endpoint, due_at) where closed_at is null;
create index deliveries_leased on deliveries (endpoint, leased_until) where closed_at is null;
create index deliveries_head on deliveries (endpoint, subject_id, sequence)
    where state = 'waiting';
create index deliveries_dead on deliveries (endpoint, subject_id, sequence) where state = 'dead';

create table attempts (
    delivery_id text        not null references deliveries (id),
    number      integer     not null,
    at          timestamptz not null,
    outcome     text        not null,
    status_code integer,
    duration_ms integer     not null,
    excerpt     text        not null default '',
    primary key (delivery_id, number)
);
create index attempts_by_time on attempts (at);

-- List sweeps: windows looked through. complete only when finished_at is set.
create table windows (
    id          bigint      generated always as identity primary key,
    account     text        not null,
    since       timestamptz not null,
    until       timestamptz not null,
    cursor      text,
    started_at  timestamptz not null default now(),
    finished_at timestamptz,
    leased_until timestamptz not null default '-infinity',
    found       integer     not null default 0
);
create index windows_open on windows (account, until) where finished_at is null;
create index windows_of_account on windows (account, until);

-- Provider sessions, shared by all workers. number names a session, so that whoever was refused
-- can say which one is spent.
create table sessions (
    account      text        primary key references accounts (name),
    number       bigint      not null default 0,
    values       jsonb       not null default '{}',
    opened_at    timestamptz not null default '-infinity',
    expires_at   timestamptz not null default '-infinity',
    leased_until timestamptz not null default '-infinity'
);

create table idempotency_keys (
    api_key     text        not null,
    key         text        not null,
    fingerprint bytea       not null,
    status_code integer,
    body        bytea,
    created_at  timestamptz not null default now(),
    primary key (api_key, key)
);

-- Signs of life of each worker process, so that one that is alive but not working is noticed.
create table workers (
    host          text        not null,
    pid           integer     not null,
    started_at    timestamptz not null default now(),
    seen_at       timestamptz not null default now(),
    progressed_at timestamptz not null default now(),
    primary key (host, pid)
);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'history is append-only: % on % refused', tg_op, tg_table_name
        using errcode = 'integrity_constraint_violation';
end $$;
create trigger transitions_append_only before update or delete on transitions
    for each row execute function refuse_change();
create trigger transitions_keep before truncate on transitions
    for each statement execute function refuse_change();
create trigger attempts_append_only before update or delete on attempts
    for each row execute function refuse_change();
create trigger attempts_keep before truncate on attempts
    for each statement execute function refuse_change();
create trigger notifications_keep_rows before delete on notifications
    for each row execute function refuse_change();
create trigger notifications_keep before truncate on notifications
    for each statement execute function refuse_change();
create trigger notifications_placed_once before update on notifications
    for each row when (
        old.position is not null
        or (old.id, old.type, old.subject_id, old.sequence, old.body, old.created_at)
           is distinct from (new.id, new.type, new.subject_id, new.sequence, new.body, new.created_at)
    ) execute function refuse_change();
create trigger events_append_only before update or delete on events
    for each row execute function refuse_change();
create trigger observations_append_only before update or delete on observations
    for each row execute function refuse_change();
