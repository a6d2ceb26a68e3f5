-- A session is proved by its cookie alone; one that somebody signed out of is refused until the
-- cookie ends by itself.
create table signed_out (
    session bytea       primary key,
    ends_at timestamptz not null
);
