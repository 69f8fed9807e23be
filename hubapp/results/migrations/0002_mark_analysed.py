"""Models that were analysed before the catalogue took note of it."""

from django.db import migrations

MARK = """
UPDATE catalog_model m SET is_analysed = true
WHERE NOT m.is_analysed AND EXISTS (
    SELECT FROM results_outcome o JOIN catalog_revision r ON r.id = o.revision_id
    WHERE r.model_id = m.id AND o.archived_at IS NULL
)
"""


class Migration(migrations.Migration):
    dependencies = [("results", "0001_initial"), ("catalog", "0002_hub_scale")]

    operations = [migrations.RunSQL(MARK, migrations.RunSQL.noop)]
