-- Events of a request by the week, so that what comes in lies together: by their ids alone, which
-- are random, each event of a large quarter would be written to a page of its own. Who looks for
-- those of an id names the weeks: a few for most requests, and 522 for ten years.

-- The weeks since 2000, each from a Monday on.
create function week_of(day date) returns integer immutable parallel safe language sql
    return (day - date '2000-01-03') / 7;

drop index events_of_request;
create index events_of_request on events (week_of(day), provider_id);
