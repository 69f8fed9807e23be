"""The sample holds what orders read. Its rows go; the next refresh of the roll-ups draws them anew."""

import django.utils.timezone
from django.db import migrations, models

COLUMNS = {
    'size_bytes': models.BigIntegerField(null=True),
    'downloads': models.BigIntegerField(null=True),
    'likes': models.IntegerField(null=True),
    'trending': models.FloatField(null=True),
    'documentation_points': models.SmallIntegerField(null=True),
}
CLEAR = 'DELETE FROM catalog_sampledmodel; DELETE FROM catalog_facetcount; DELETE FROM catalog_rollup'


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0003_search'),
    ]

    operations = [
        migrations.RunSQL(CLEAR, migrations.RunSQL.noop),
        migrations.AddField(
            model_name='sampledmodel',
            name='created_at',
            field=models.DateTimeField(default=django.utils.timezone.now),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='sampledmodel',
            name='title',
            field=models.CharField(default='', max_length=200),
            preserve_default=False,
        ),
        *(
            migrations.AddField(model_name='sampledmodel', name=name, field=field)
            for name, field in COLUMNS.items()
        ),
    ]
