-- The phones of a township, for figures and lists: without this, all of the tenant's are looked through.
CREATE INDEX device_township ON device (township_no);
