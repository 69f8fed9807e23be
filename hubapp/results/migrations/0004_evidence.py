"""Tables of published transfer results that somebody imports."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("results", "0003_sums")]

    operations = [
        migrations.CreateModel(
            name="EvidenceTable",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.SlugField(max_length=80, unique=True)),
                ("title", models.CharField(max_length=200)),
                ("source_repository", models.CharField(max_length=200)),
                ("source_path", models.CharField(max_length=400)),
                ("source_commit", models.CharField(blank=True, max_length=64)),
                ("licence", models.CharField(blank=True, max_length=100)),
                ("rows_read", models.PositiveIntegerField(default=0)),
                ("rows_dropped", models.PositiveIntegerField(default=0)),
                ("imported_at", models.DateTimeField(auto_now=True)),
            ],
            options={"ordering": ["name"]},
        ),
        migrations.CreateModel(
            name="EvidenceRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("data_set", models.CharField(max_length=200)),
                ("model", models.CharField(max_length=200)),
                ("regime", models.CharField(max_length=20)),
                ("unit", models.CharField(max_length=40)),
                ("value", models.FloatField()),
                ("scores", models.JSONField(default=dict)),
                ("repeats", models.CharField(blank=True, max_length=300)),
                (
                    "table",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="rows",
                        to="results.evidencetable",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=["table", "data_set", "model", "regime", "unit"], name="evidence_row_once"
                    )
                ],
            },
        ),
    ]
