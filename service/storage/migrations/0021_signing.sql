-- What an endpoint never got is listed in the next message of the same request or order, once.
-- The lists are made at the first claim and kept, so that every try sends the same bytes.
alter table deliveries
    add column dead       bigint[] not null default '{}',
    add column superseded bigint[] not null default '{}',
    add column is_told    boolean  not null default false; -- a later message that arrived lists it
drop index deliveries_dead;
create index deliveries_untold on deliveries (endpoint, subject_id, sequence)
    where state in ('dead', 'superseded') and not is_told;

-- The trace of the last webhook that made a request due: it goes on to the ERP.
alter table due add column traceparent text;
