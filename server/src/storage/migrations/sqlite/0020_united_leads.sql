-- Which households one stands for: figures count them as one.
CREATE INDEX united_leads ON united (township_no, leads);
