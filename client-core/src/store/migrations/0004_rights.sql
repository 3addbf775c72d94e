-- A part of a form instance is about what the instance is about; only parts of instances about nothing are about these.
UPDATE record SET subject = (SELECT c.subject FROM record c WHERE c.id = record.subject)
WHERE instr(type, '.') > 0
  AND EXISTS (SELECT 1 FROM record c WHERE c.id = record.subject AND c.subject IS NOT NULL);
