-- What is kept for how long. Bodies leave by the day, facts by the quarter of the year, each as a
-- partition: no row of history is ever deleted by itself.

-- What stood in the way is renamed, its indexes too, so that the new tables have the names.
create function set_aside(the_table text) returns void language plpgsql as $$
declare
    index_name text;
begin
    for index_name in select c.relname from pg_index join pg_class as c on c.oid = indexrelid
                       where indrelid = the_table::regclass loop
        execute format('alter index %I rename to %I', index_name, 'old_' || index_name);
    end loop;
    execute format('alter table %I rename to %I', the_table, 'old_' || the_table);
end $$;

-- Makes a partition as the default one is, with its indexes, and guards it against truncation.
-- bounds is "default" or "for values from ... to ...". A message is of the same quarter as its
-- transition, so that the one partition refers to the other.
create function make_partition(parent text, leaf text, template text, bounds text) returns void
language plpgsql set timezone to 'UTC' as $$
begin
    execute format('create table %I (like %I including all)', leaf, template);
    execute format('alter table %I attach partition %I %s', parent, leaf, bounds);
    execute format('create trigger keep before truncate on %I'
                   ' for each statement execute function refuse_change()', leaf);
    if parent = 'notifications' then
        execute format('alter table %I add foreign key (subject_id, sequence)'
                       ' references %I (subject_id, sequence)',
                       leaf, replace(leaf, 'notifications', 'transitions'));
    end if;
end $$;

-- Makes the quarters of a table that hold its days from one to another.
create function make_quarters(parent text, since date, until date) returns void
language plpgsql set timezone to 'UTC' as $$
declare
    quarter date;
begin
    for quarter in select generate_series(date_trunc('quarter', since), until, '3 months') loop
        perform make_partition(parent, parent || to_char(quarter, '_YYYY"q"Q'), parent || '_default',
                               format('for values from (%L) to (%L)', quarter,
                                      (quarter + interval '3 months')::date));
    end loop;
end $$;

-- Bodies, once for each day on which they came in. Those of a call are one body, whatever events
-- are in it; an event finds its own by the day of its received_at and by body_sha256.
create table event_bodies (
    day    date  not null,
    sha256 bytea not null,
    body   bytea not null,
    primary key (day, sha256)
) partition by range (day);
create table event_bodies_default partition of event_bodies default;
create trigger event_bodies_append_only before update or delete on event_bodies
    for each row execute function refuse_change();
create trigger keep before truncate on event_bodies_default
    for each statement execute function refuse_change();
select make_partition('event_bodies', to_char(day, '"event_bodies_"YYYYMMDD'), 'event_bodies_default',
                      format('for values from (%L) to (%L)', day::date, day::date + 1))
  from (select (received_at at time zone 'utc')::date as day from events
         union
        select generate_series(current_date - 1, current_date + 14, '1 day')::date) as days;
insert into event_bodies (day, sha256, body)
select distinct on (1, 2) (received_at at time zone 'utc')::date, body_sha256, body
  from events where sha256(body) = body_sha256;

-- Events without their bodies: day is still that on which the provider made them.
drop trigger events_append_only on events;
alter table events drop column body;
select set_aside('events_default');
select set_aside('events');
create table events (like old_events including defaults including constraints,
                     primary key (day, id)) partition by range (day);
create table events_default partition of events default;
create unique index events_once on events (account, event_id, day) where event_id is not null;
create index events_by_time on events (account, received_at);
create index events_of_request on events (account, provider_id, received_at);
create trigger events_append_only before update or delete on events
    for each row execute function refuse_change();
create trigger keep before truncate on events_default
    for each statement execute function refuse_change();
select make_quarters('events', least((select min(day) from old_events), current_date - 36),
                     current_date + 100);
insert into events select * from old_events;
drop table old_events;

select set_aside(name)
  from unnest(array['transitions', 'notifications', 'deliveries', 'attempts', 'untold_changes'])
       as name;

-- Transitions, by the quarter in which they were recorded. No index over all of them can refuse a
-- second transition with one sequence, so their subject does: see follow_the_subject below.
create table transitions (like old_transitions including defaults including constraints)
    partition by range (recorded_at);
create table transitions_default partition of transitions (unique (id),
                                                           unique (subject_id, sequence)) default;
create index transitions_by_time on transitions (recorded_at);
create trigger transitions_append_only before update or delete on transitions
    for each row execute function refuse_change();
create trigger transitions_keep before truncate on transitions
    for each statement execute function refuse_change();
create trigger keep before truncate on transitions_default
    for each statement execute function refuse_change();

-- Notifications, by the same quarter as their transition: created_at is its recorded_at.
create sequence notification_serials;
select setval('notification_serials', coalesce(max(serial), 0) + 1, false) from old_notifications;
create table notifications (like old_notifications including defaults including constraints)
    partition by range (created_at);
alter table notifications alter column serial set default nextval('notification_serials');
create table notifications_default partition of notifications (
    unique (id), unique (subject_id, sequence), unique (position),
    foreign key (subject_id, sequence) references transitions_default (subject_id, sequence)
) default;
create index notifications_unplaced on notifications (serial) where position is null;
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
create trigger keep before truncate on notifications_default
    for each statement execute function refuse_change();

-- Deliveries: those that wait are a table by themselves, which stays small, and those that are
-- closed are facts. notified_at is the created_at of the notification, so that a delivery, its
-- attempts and its notification are of one quarter.
create table deliveries (like old_deliveries including defaults including constraints,
                         notified_at timestamptz not null) partition by list (state);
create table deliveries_waiting partition of deliveries (
    primary key (id), unique (notification_id, endpoint)
) for values in ('waiting')
  with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
-- What waits is closed_at is null to these two and state = 'waiting' to the next, so that a search
-- for the first of a subject cannot take one of these: while few wait, all three look as cheap.
create index deliveries_due on deliveries_waiting (endpoint, due_at) where closed_at is null;
create index deliveries_leased on deliveries_waiting (endpoint, leased_until)
    where closed_at is null;
create index deliveries_head on deliveries_waiting (endpoint, subject_id, sequence)
    where state = 'waiting';
create table deliveries_closed partition of deliveries (
    unique (id, notified_at), unique (notification_id, endpoint, notified_at)
) for values in ('delivered', 'dead', 'superseded') partition by range (notified_at);
create table deliveries_closed_default partition of deliveries_closed default;
create index deliveries_dead on deliveries_closed (endpoint, subject_id, sequence)
    where state = 'dead';
alter table deliveries add foreign key (endpoint) references endpoints (name);
create trigger keep before truncate on deliveries_closed_default
    for each statement execute function refuse_change();

create table attempts (like old_attempts including defaults including constraints,
                       notified_at timestamptz not null,
                       unique (delivery_id, number, notified_at)) partition by range (notified_at);
create table attempts_default partition of attempts default;
create index attempts_by_time on attempts (at);
create trigger attempts_append_only before update or delete on attempts
    for each row execute function refuse_change();
create trigger attempts_keep before truncate on attempts
    for each statement execute function refuse_change();
create trigger keep before truncate on attempts_default
    for each statement execute function refuse_change();

create table untold_changes (like old_untold_changes including defaults including constraints)
    partition by range (recorded_at);
create table untold_changes_default partition of untold_changes (unique (request_id, sequence))
    default;
create index untold_changes_called_for on untold_changes (account, happened_at) where called_for;
alter table untold_changes add foreign key (request_id) references requests (id);
create trigger keep before truncate on untold_changes_default
    for each statement execute function refuse_change();

select make_quarters(parent, least((select min(recorded_at)::date from old_transitions),
                                   current_date - 1),
                     current_date + 100)
  from unnest(array['transitions', 'notifications', 'deliveries_closed', 'attempts',
                    'untold_changes']) as parent;
insert into transitions select * from old_transitions;
insert into notifications select * from old_notifications;
insert into deliveries
select d.*, n.created_at
  from old_deliveries as d join old_notifications as n on n.id = d.notification_id;
insert into attempts
select a.*, d.notified_at from old_attempts as a join deliveries as d on d.id = a.delivery_id;
insert into untold_changes select * from old_untold_changes;
drop table old_untold_changes, old_attempts, old_deliveries, old_notifications, old_transitions;
drop function set_aside(text);

-- A sequence is given once. A subject goes on by one with every hash, never back, and holds the
-- hash of its newest transition; a transition is refused unless it is that one. So all rows of one
-- sequence would have the same hash, which covers recorded_at: they would be of the same quarter,
-- where a unique constraint refuses the second.
create function refuse_leap() returns trigger language plpgsql as $$
begin
    raise exception 'history goes on by one: % from sequence % to % refused',
        new.id, old.sequence, new.sequence
        using errcode = 'integrity_constraint_violation';
end $$;
create trigger requests_go_on after update on requests
    for each row when (new.sequence <> old.sequence + (new.chain <> old.chain)::integer)
    execute function refuse_leap();
create trigger orders_go_on after update on orders
    for each row when (new.sequence <> old.sequence + (new.chain <> old.chain)::integer)
    execute function refuse_leap();

create function follow_the_subject() returns trigger language plpgsql as $$
begin
    if new.subject = 'request' then
        perform from requests
          where id = new.subject_id and (sequence, chain) = (new.sequence, new.hash);
    else
        perform from orders
          where id = new.subject_id and (sequence, chain) = (new.sequence, new.hash);
    end if;
    if not found then
        raise exception 'history goes on by one: sequence % of % refused',
            new.sequence, new.subject_id
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;
create trigger transitions_follow after insert on transitions
    for each row execute function follow_the_subject();

-- What retention dropped of the facts: all that was recorded before ends_at, and of the feed all up
-- to position. The newest row of each is where what is kept begins.
create table forgotten (
    ends_at    timestamptz primary key,
    position   bigint,
    dropped_at timestamptz not null default now()
);
