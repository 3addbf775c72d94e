-- When a phone's report as lost was withdrawn (0: it stands). A phone that had taken the order before still says that it erased
-- itself, and counts as lost again then.
ALTER TABLE lost_device ADD COLUMN withdrawn_ms BIGINT NOT NULL DEFAULT 0;
