-- What persons did, and the runs of recover.

-- Who did what, when and why: append-only. who is the API key, or the user of the command.
create table interventions (
    id          text        primary key,
    at          timestamptz not null default clock_timestamp(),
    did         text        not null check (did in ('pause', 'resume', 'test', 'resend',
                                                    'recover', 'stop', 'replay')),
    who         text        not null,
    reason      text,
    endpoint    text,
    subject_id  text,       -- the request or order that it was about
    about       text        -- the id of what it was done to: a delivery, an event, a recovery
);
create index interventions_by_time on interventions (at);
create index interventions_of_subject on interventions (subject_id) where subject_id is not null;
create trigger interventions_append_only before update or delete on interventions
    for each row execute function refuse_change();
create trigger interventions_keep before truncate on interventions
    for each statement execute function refuse_change();

-- Runs of recover: a window of notifications, sent to one endpoint again. since and until are what
-- `asked` came to when the run began. It goes through the notifications by serial, up to
-- last_serial, and stands at after_serial. stopped_at: not fed until somebody goes on with it.
create table recoveries (
    id           text        primary key,
    endpoint     text        not null references endpoints (name),
    asked        text        not null,
    since        timestamptz not null,
    until        timestamptz not null check (until > since),
    planned      bigint      not null,
    queued       bigint      not null default 0,
    delivered    bigint      not null default 0,
    dead         bigint      not null default 0,
    superseded   bigint      not null default 0,
    after_serial bigint      not null,
    last_serial  bigint      not null,
    started_at   timestamptz not null default now(),
    stopped_at   timestamptz,
    finished_at  timestamptz
);
create index recoveries_open on recoveries (endpoint, id) where finished_at is null;

-- What a run has put on its way, each once; closed when it arrived or was given up.
create table recovered (
    recovery        text        not null references recoveries (id),
    notification_id text        not null,
    queued_at       timestamptz not null default clock_timestamp(),
    closed          boolean     not null default false,
    primary key (recovery, notification_id)
);
create index recovered_open on recovered (recovery) where not closed;
create index recovered_of_notification on recovered (notification_id);

create index notifications_by_time on notifications (created_at);
