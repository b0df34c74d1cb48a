ALTER TABLE work_items RESET (fillfactor);
ALTER TABLE work_items DROP CONSTRAINT ck_work_items_placed_has_lease;
DROP TRIGGER work_items_refer ON work_items;
DROP TRIGGER work_items_stay ON work_items;
DROP TRIGGER units_stay ON units;
DROP FUNCTION check_work_items;
