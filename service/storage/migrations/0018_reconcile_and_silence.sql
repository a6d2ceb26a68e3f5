-- Runs of reconcile that workers work off: asked_by is the name of the key that asked for one, null
-- where whoever began a run works it off. The newest finished run of each account is a gauge.
alter table reconciles add column asked_by text;
create index reconciles_finished on reconciles (account, finished_at desc)
 where finished_at is not null;

-- Why the channel of an account is called silent, null where it is not. It outlives a pause, which
-- goes before it in state and reason as long as it lasts.
alter table accounts add column silence text;
update accounts set silence = reason where state = 'silent';
alter table accounts
    add check (case state when 'ok' then silence is null
                          when 'silent' then silence is not null and reason = silence
                          else true end);
