-- What the console draws by the hour, each from an index; and sessions of it that were ended.

-- What became of messages, by when it did.
create index deliveries_by_closing on deliveries_closed (endpoint, closed_at) include (state);

-- Attempts that took nothing over: few of many. Where no webhook is posted, a word says that it was.
create index attempts_failed on attempts (at)
    where outcome !~ '^(http_2..|written|appended|done|not_concerned|nothing_to_do|already_done)$';

-- A session is proved by its cookie alone; one that somebody signed out of is refused until the
-- cookie ends by itself.
create table signed_out (
    session bytea       primary key,
    ends_at timestamptz not null
);
