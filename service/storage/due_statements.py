"""The statements of the table `due`, whose rules `storage/due.py` tells.

Rows are locked in the order of their key, and those that somebody holds are passed over by a claim.
"""

LEASE = """
update due
   set leased_until = now() + make_interval(secs => %(lease)s),
       lease_no = lease_no + 1,
       crashes = crashes + 1
  from picked
 where (due.account, due.kind, due.provider_id)
       = (picked.account, picked.kind, picked.provider_id)
returning due.account, due.kind, due.provider_id, wanted, lease_no, known, urgency,
          case when told > done then 'webhook' else observed_by end as observed_by,
          rereads, crashes, errors,
          coalesce(extract(epoch from now() - failing_since), 0)::float8 as failing_seconds,
          extract(epoch from now() - first_due_at)::float8 as due_seconds,
          extract(epoch from now() - due_at)::float8 as late_seconds, paced_seconds, ends_at,
          coalesce((select stretch from poll_plans as plan where plan.account = due.account),
                   1)::float8 as stretch,
          case when told > done or observed_by = 'webhook' then traceparent end as traceparent
"""

CLAIM = f"""
with told as materialized (
    select account, kind, provider_id from due
     where urgency = 0 and due_at <= now() and leased_until <= now()
       and crashes <= %(suspicious)s
     order by due_at limit %(limit)s for update skip locked
), polls as materialized (
    select account, kind, provider_id from due
     where urgency = 1 and due_at <= now() and leased_until <= now()
       and crashes <= %(suspicious)s
     order by due_at limit (%(limit)s - (select count(*) from told)) for update skip locked
), unknown as materialized (
    select account, kind, provider_id from due
     where urgency = 2 and due_at <= now() and leased_until <= now()
       and crashes <= %(suspicious)s
     order by due_at
     limit (%(limit)s - (select count(*) from told) - (select count(*) from polls))
       for update skip locked
), picked as (
    select * from told union all select * from polls union all select * from unknown
)
{LEASE}
"""  # noqa: S608 - put together from constants

# All urgencies are named, so that the index on (urgency, due_at) finds what is due.
CLAIM_SUSPICIOUS = f"""
with picked as materialized (
    select account, kind, provider_id from due
     where urgency in (0, 1, 2) and due_at <= now() and leased_until <= now()
       and crashes > %(suspicious)s
     order by due_at limit 1 for update skip locked
)
{LEASE}
"""  # noqa: S608 - put together from constants

CLAIM_THESE = f"""
with picked as materialized (
    select account, kind, provider_id from due
      join unnest(%(accounts)b::text[], %(kinds)b::text[], %(ids)b::text[])
           as k (account, kind, provider_id) using (account, kind, provider_id)
     where leased_until <= now()
     order by account, kind, provider_id for update of due skip locked
)
{LEASE}
"""  # noqa: S608 - put together from constants

REST = """
with back as (
    select * from unnest(
        %(accounts)b::text[], %(kinds)b::text[], %(ids)b::text[], %(leases)b::bigint[],
        %(wanted)b::bigint[], %(covered)b::bigint[], %(next)s::float8[], %(errors)b::integer[],
        %(rereads)b::smallint[], %(reread)b::boolean[], %(known)b::boolean[], %(parked)b::text[],
        %(every)s::real[], %(paced)s::real[], %(calls)b::smallint[], %(listed)b::boolean[],
        %(ends)b::timestamptz[]
    ) as b (account, kind, provider_id, lease_no, wanted, covered, next_seconds, errors, rereads,
            reread, known, parked, every_seconds, paced_seconds, calls, listed, ends_at)
), ours as materialized (
    select due.account, due.kind, due.provider_id,
           case when back.covered is null then hurry
                when now() - not_before < interval '10 s'
                then least(hurry + 1, cardinality(%(hurry)s::float8[]) - 1) else 0 end as hurry,
           (due.wanted > coalesce(back.covered, back.wanted)) as more,
           case when due.told > due.done then 'webhook' else due.observed_by end as asked_by,
           back.covered, back.next_seconds, back.errors, back.rereads, back.reread,
           back.known, back.parked, back.every_seconds, back.paced_seconds, back.calls,
           back.listed, back.ends_at
      from due join back using (account, kind, provider_id, lease_no)
     order by due.account, due.kind, due.provider_id
       for update of due
)
update due
   set leased_until = '-infinity',
       done = greatest(done, coalesce(ours.covered, done)),
       hurry = ours.hurry,
       not_before = case when ours.covered is null then due.not_before
           else now() + make_interval(secs => (%(hurry)s::float8[])[ours.hurry + 1]) end,
       due_at = case
           when ours.covered is not null and ours.more
               then now() + make_interval(secs => (%(hurry)s::float8[])[ours.hurry + 1])
           when ours.more then now() + make_interval(
               secs => least(ours.next_seconds, %(raised)s::float8))
           when ours.next_seconds is null then 'infinity'
           else now() + make_interval(secs => ours.next_seconds) end,
       crashes = 0,
       errors = ours.errors,
       failing_since = case when ours.errors = 0 then null
                            else coalesce(failing_since, now()) end,
       rereads = case when ours.covered is null then due.rereads
                      when ours.more then 0 else ours.rereads end,
       known = due.known or ours.known,
       parked = case when ours.covered is null then coalesce(ours.parked, due.parked)
                     else ours.parked end,
       every_seconds = case when ours.covered is null then due.every_seconds
                            else ours.every_seconds end,
       paced_seconds = case when ours.covered is null then due.paced_seconds
                            else ours.paced_seconds end,
       calls = case when ours.covered is null then due.calls else ours.calls end,
       listed = case when ours.covered is null then due.listed else ours.listed end,
       ends_at = case when ours.covered is null then due.ends_at else ours.ends_at end,
       urgency = case
           when ours.covered is not null and not ours.more and not ours.reread then
                case when due.known or ours.known then 1 else 2 end
           when due.known or ours.known then least(due.urgency, 1)
           else due.urgency end,
       observed_by = case
           when ours.covered is not null and not ours.more and not ours.reread then 'poll'
           when ours.reread then ours.asked_by
           else due.observed_by end
  from ours
 where (due.account, due.kind, due.provider_id) = (ours.account, ours.kind, ours.provider_id)
"""

TRIGGER = """
insert into due (account, kind, provider_id, observed_by, told, traceparent, known, urgency,
                 due_at)
select account, kind, provider_id, %(observed_by)s, %(told)s::int, %(traceparent)s, %(known)s,
       case when %(trusted)s then %(urgency)s::smallint else 2 end,
       now() - behind * interval '1 microsecond'
  from unnest(%(accounts)b::text[], %(kinds)b::text[], %(ids)b::text[], %(behind)b::integer[])
       as t (account, kind, provider_id, behind)
 order by account, kind, provider_id
on conflict (account, kind, provider_id) do update
   set wanted = due.wanted + 1,
       due_at = case when %(at_once)s then now()
                     else least(due.due_at, greatest(excluded.due_at, due.not_before)) end,
       known = due.known or excluded.known,
       observed_by = excluded.observed_by,
       told = case when excluded.told > 0 then due.wanted + 1 else due.told end,
       traceparent = case when excluded.told > 0 then excluded.traceparent
                          else due.traceparent end,
       rereads = 0,
       parked = null,
       urgency = case when due.known or %(trusted)s
                      then least(due.urgency, %(urgency)s::smallint) else 2 end
"""
