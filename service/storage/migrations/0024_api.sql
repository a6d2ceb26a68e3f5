-- What the API asks of many rows, each from an index; and the version that an answer named.

-- Whether an attempt brought its delivery there, which its status alone does not tell: a file has
-- none, and a recipe may fail behind a 200. Null in what was written before: then the status says.
alter table attempts add column failed boolean;
create index attempts_failed on attempts (at)
    where coalesce(failed, status_code is null or status_code not between 200 and 299);

-- What became of the messages to an endpoint, the newest first, and how much of it in a day.
create index deliveries_by_closing on deliveries_closed (endpoint, closed_at) include (state);

-- The ETag of an answer that is repeated for its Idempotency-Key.
alter table idempotency_keys add column etag text;

-- All that persons did, be it to the service or about an order or request, by time. A link stands
-- with its request and with both orders: is_copy at these.
create index decisions_by_time on decisions (at);
create view acts as
    select id, at, did, who, reason, endpoint, subject_id, about, null::jsonb as detail,
           false as is_copy
      from interventions
     union all
    select id, at, case what when 'acknowledgement' then 'acknowledge'
                             when 'amendment' then 'amend' else what end,
           who, reason, null, subject_id, null, detail,
           what = 'link' and subject = 'order'
      from decisions;
