-- What made us find a change, kept exactly; and what no webhook announced at an account that sends
-- them, so that a channel that has fallen silent is noticed.

-- The newest generation that a webhook asked for: a read that covers it was told by one, whoever
-- else asked meanwhile.
alter table due add column told bigint not null default 0;
update due set told = wanted where observed_by = 'webhook' and done < wanted;

alter table transitions
    add check (observed_by in ('webhook', 'poll', 'sweep', 'operator'));

-- Changes found by a poll or a sweep at an account that sends webhooks. happened_at is when the
-- provider says that it happened, never before the read that did not show it yet nor after the one
-- that did; null where nobody can tell. called_for: every provider would have announced it.
create table untold_changes (
    account     text        not null,
    request_id  text        not null references requests (id),
    sequence    bigint      not null,
    called_for  boolean     not null,
    happened_at timestamptz,
    recorded_at timestamptz not null,
    primary key (request_id, sequence)
);
create index untold_changes_called_for on untold_changes (account, happened_at) where called_for;

-- The newest webhook we know of: events are dropped in time, and what came before them is not
-- to be counted again.
alter table accounts add column heard_at timestamptz;
