-- Events of a request by the day, so that what comes in lies together: by their ids alone, which are
-- random, each event of a large quarter would be written to a page of its own. Who looks for those
-- of an id names the days.
drop index events_of_request;
create index events_of_request on events (day, provider_id);
