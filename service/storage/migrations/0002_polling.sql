-- When to look: planned against what the budgets carry, one budget per credential, and lists that
-- show statuses.

-- every_seconds is the interval wished for, null where nobody looks without being asked;
-- paced_seconds is the one that the last wait was taken from, stretched as the budget asked.
-- calls is what a look costs. listed: a list shows all that a read does. ends_at is when the
-- provider stops taking money, or when we saw that it had.
alter table due
    add column every_seconds real check (every_seconds > 0),
    add column paced_seconds real check (paced_seconds > 0),
    add column calls         smallint not null default 1 check (calls > 0),
    add column listed        boolean  not null default false,
    add column ends_at       timestamptz;

-- Where the provider's list showed a request when it was last read, and as what.
alter table requests
    add column listed_id text,
    add column list_mark text,
    add check ((listed_id is null) = (list_mark is null));
create index requests_listed on requests (account, listed_id) where listed_id is not null;

-- Pages tell what a sweep costs.
alter table windows add column pages integer not null default 0;

-- What looking costs, in calls a second, and by how much intervals stretch so that it fits. The
-- walk is the one through the provider's list that the plan counts on, null where none is worth it.
create table poll_plans (
    account            text primary key references accounts (name),
    planned            float8      not null default 0,
    possible           float8      not null default 0,
    stretch            real        not null default 1 check (stretch >= 1),
    walk_every_seconds float8      check (walk_every_seconds > 0),
    walk_since         timestamptz,
    walk_pages         integer,
    walk_same          integer,
    next_at            timestamptz not null default '-infinity'
);

-- Walks through lists that show statuses: the newest of each account. pages_expected and
-- same_expected are what the plan hoped for; the next plan believes the walk.
create table walks (
    account        text primary key references accounts (name),
    number         bigint      not null default 0,
    since          timestamptz not null default now(),
    cursor         text,
    leased_until   timestamptz not null default '-infinity',
    started_at     timestamptz not null default '-infinity',
    finished_at    timestamptz,
    pages          integer     not null default 0,
    same           integer     not null default 0,
    news           integer     not null default 0,
    pages_expected integer     not null default 0,
    same_expected  integer     not null default 0
);

-- Budgets belong to what an account logs in with: two accounts with one key share its calls. The
-- key is a fingerprint. What was granted in the last window is forgotten once, here.
drop function draw_calls(text, text, integer, integer, float8);
delete from budgets;
alter table budgets drop constraint budgets_account_fkey;
alter table budgets rename column account to credential;

-- Grants up to `wanted` calls so that no window of `window_seconds` holds more than `calls_max`.
-- Answers how many were granted, how many this window has used, and when the next call fits.
-- A paused account gets nothing before its pause ends, and then one call in 15 s to try, until
-- one is answered.
create function draw_calls(
    the_account text, the_credential text, the_share text, wanted integer, calls_max integer,
    window_seconds float8,
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
      from budgets where credential = the_credential and share = the_share for update;
    if not found then
        insert into budgets (credential, share) values (the_credential, the_share)
        on conflict (credential, share) do nothing;
        select granted_at, granted_calls into times, calls
          from budgets where credential = the_credential and share = the_share for update;
    end if;
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
     where credential = the_credential and share = the_share;
end $$;
