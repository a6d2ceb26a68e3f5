-- Runs of reconcile that workers work off: asked_by is the name of the key that asked for one, null
-- where whoever began a run works it off. The newest finished run of each account is a gauge.
alter table reconciles add column asked_by text;
create index reconciles_finished on reconciles (account, finished_at desc)
 where finished_at is not null;
