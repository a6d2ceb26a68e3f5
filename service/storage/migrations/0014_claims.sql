-- The rank of the status that an event speaks of, null where it names none. It proves nothing; a
-- read that shows less is made again soon.
alter table events add column claims smallint check (claims between 0 and 9);
