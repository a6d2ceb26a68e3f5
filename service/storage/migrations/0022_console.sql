-- What the console asks of many rows, each from an index; and a read that a person asked for there.

-- By status, the newest first, and how many there are up to a bound.
create index requests_by_status on requests (status, updated_at, id);

-- What a person should look at: few of many, so that finding none is as quick as finding some.
create index requests_attention on requests (updated_at, id) where attention <> '{}';
create index orders_attention on orders (updated_at, id) where attention <> '{}';
create index due_set_aside on due (account, parked)
    where parked is not null and parked <> 'part_of_another';
create index deliveries_unsent on deliveries_closed (state, id)
    where state in ('dead', 'superseded');

create index events_odd on events (verdict, day, id) where verdict <> 'accepted';

-- Orders by how their reference begins, whatever the case.
create index orders_by_beginning on orders (lower(reference) text_pattern_ops);

alter table interventions drop constraint interventions_did_check;
alter table interventions add constraint interventions_did_check
    check (did in ('pause', 'resume', 'test', 'resend', 'recover', 'stop', 'replay', 'sync'));
