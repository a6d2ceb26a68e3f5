-- An order that nobody knows may be an attempt of a payment link: then the account's open links are
-- read, each for that reason at most once a minute. links_due_at is when they last were, or will be.
alter table accounts add column links_due_at timestamptz not null default '-infinity';
create index requests_links_open on requests (account, provider_id)
    where kind = 'payment_link' and not final;
