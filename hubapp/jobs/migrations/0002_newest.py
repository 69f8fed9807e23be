"""The newest jobs are found without sorting all of them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]

    operations = [
        migrations.AddIndex(model_name="job", index=models.Index(fields=["-created_at"], name="job_newest")),
    ]
