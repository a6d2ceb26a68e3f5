-- What persons decide about orders and requests: that somebody has seen to an attention code, that
-- a request belongs under another order, that another amount is expected. Kept for good.
create table decisions (
    id         text        primary key,
    subject    text        not null check (subject in ('request', 'order')),
    subject_id text        not null,
    what       text        not null check (what in ('acknowledgement', 'link', 'amendment')),
    detail     jsonb       not null,
    reason     text,
    who        text        not null,    -- api: and the name of the key
    at         timestamptz not null
);
create index decisions_of_subject on decisions (subject_id, at);
create trigger decisions_append_only before update or delete on decisions
    for each row execute function refuse_change();
create trigger decisions_keep before truncate on decisions
    for each statement execute function refuse_change();

-- The sums or pictures that raised the attention codes, so that the same ones raise none again.
alter table orders add column raised_by text[] not null default '{}';
alter table requests add column raised_by text[] not null default '{}';

-- Who put a request under its order.
alter table requests add column linked_by text check (linked_by in ('erp', 'operator', 'reference'));
update requests set linked_by = case when registered then 'erp' else 'reference' end
 where order_id is not null;

-- Orders by what is left of their references at a provider that takes letters and digits only.
create index orders_by_stripped_reference
    on orders (regexp_replace(reference, '[^A-Za-z0-9]', '', 'g')) where registered;
