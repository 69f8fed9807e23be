from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0007_weights_copy'),
    ]

    operations = [
        migrations.AddField(
            model_name='revision',
            name='loader_note',
            field=models.CharField(blank=True, default='', max_length=1000),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='revision',
            name='modality',
            field=models.CharField(blank=True, default='', max_length=20),
            preserve_default=False,
        ),
    ]
