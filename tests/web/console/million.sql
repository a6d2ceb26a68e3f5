-- Rows of every age, the first the newest. What is rare stands at one end, where a walk from the
-- other meets it last. Loaded without triggers and keys: this is no history.

insert into orders (id, reference, registered, status, rule, currency, amount, received,
                    attention, updated_at, created_at)
select 'ord_' || lpad(n::text, 26, '0'), case when n % 1000 = 0 then 'ZX-' else 'INV-' end || n,
       true, (array['paid', 'settled', 'unpaid'])[1 + n % 3], 'paid', 'EUR', 4000, 4000,
       case when n % 5000 = 0 then array['overpaid'] else '{}' end, at, at
  from generate_series(1, :number) as n,
       lateral (select now() - n * interval '1 s') as t (at);

insert into requests (id, account, kind, provider_id, order_id, reference, status,
                      provider_status, final, currency, amount, received, sequence, attention,
                      first_seen_at, updated_at, observed_at)
select 'prq_' || lpad(n::text, 26, '0'),
       case when n % 10000 = 0 then 'rare' else 'ginger-nl' end, 'order', 'p' || n,
       'ord_' || lpad(n::text, 26, '0'), case when n % 1000 = 0 then 'ZX-' else 'INV-' end || n,
       case when n > :number - 20 then 'held'
            else (array['paid', 'settled', 'open'])[1 + n % 3] end,
       'completed', true, 'EUR', 4000, 4000, 1,
       case when n % 5000 = 0 then array['late_money'] else '{}' end, at, at, at
  from generate_series(1, :number) as n,
       lateral (select now() - n * interval '1 s') as t (at);

insert into notifications (id, type, subject, subject_id, sequence, body, created_at, account,
                           reference)
select 'ntf_' || lpad(n::text, 26, '0'), 'payment_request.paid', 'request',
       'prq_' || lpad(n::text, 26, '0'), 1, '{}', now() - n * interval '1 s', 'ginger-nl',
       'INV-' || n
  from generate_series(1, :number) as n;

insert into deliveries (id, notification_id, endpoint, type, subject_id, sequence, reference,
                        state, due_at, created_at, closed_at, notified_at)
select 'dlv_' || lpad((:number - n)::text, 26, '0'), 'ntf_' || lpad(n::text, 26, '0'), 'erp',
       'payment_request.paid', 'prq_' || lpad(n::text, 26, '0'), 1, 'INV-' || n, state, at, at,
       case when state <> 'waiting' then at end, at
  from generate_series(1, :number) as n,
       lateral (select now() - n * interval '1 s',
                       case when n > :number - 500 then 'dead'
                            when n % 100 = 0 then 'superseded'
                            when n % 1000 = 1 then 'waiting' else 'delivered' end) as t (at, state);

insert into attempts (delivery_id, number, at, outcome, status_code, duration_ms, notified_at)
select 'dlv_' || lpad((:number - n)::text, 26, '0'), 1, at, 'http_' || code, code, 20 + n % 100, at
  from generate_series(1, :number) as n,
       lateral (select now() - n * interval '1 s',
                       case when n % 10 = 0 then 503 else 204 end) as t (at, code);

insert into transitions (id, subject, subject_id, sequence, type, after, observed_by,
                         observation_id, answer_sha256, recorded_at, chained_from, hash)
select 'trn_' || lpad(n::text, 26, '0'), 'request', 'prq_' || lpad(n::text, 26, '0'), 1,
       'payment_request.paid', '{"status": "paid"}', 'webhook',
       'obs_' || lpad(n::text, 26, '0'), '\x01', now() - n * interval '1 s', '', '\x01'
  from generate_series(1, :number) as n;

insert into observations (day, id, request_id, read_at, observed_by, verdict, lease_no,
                          answer_sha256, answer)
select (at at time zone 'utc')::date, 'obs_' || lpad(n::text, 26, '0'),
       'prq_' || lpad(n::text, 26, '0'), at, 'webhook', 'transition', 1, '\x01', '{}'
  from generate_series(1, :number) as n,
       lateral (select now() - n * interval '1 s') as t (at);

insert into reconciles (account, asked, dry_run, since, until, drift, started_at, finished_at)
select 'ginger-nl', '7d', false, at - interval '7 days', at,
       jsonb_build_object('missed', n % 5), at, at
  from generate_series(1, 1000) as n, lateral (select now() - n * interval '1 day') as t (at);

insert into events (day, id, account, kind, provider_id, received_at, verdict, body_sha256)
select at::date, 'evt_' || lpad((:number - n)::text, 26, '0'), 'ginger-nl', 'order',
       'p' || n, at, case when n > :number - 5 then 'refused' else 'accepted' end, '\x01'
  from generate_series(1, :number) as n,
       lateral (select now() - n * interval '1 s') as t (at);

insert into due (account, kind, provider_id, due_at, done, urgency, parked)
select 'ginger-nl', 'order', 'p' || n, now() + (n - 5000) * interval '1 s', 1, 1,
       case when n % 3000 = 0 then 'unclaimed' when n % 7 = 0 then 'part_of_another' end
  from generate_series(1, :number) as n;
