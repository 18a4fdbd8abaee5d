"""Small Bank Marketing and Online Shoppers archives in the layout of the UCI repository."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

JOBS = "admin. blue-collar entrepreneur housemaid management retired self-employed services student technician"
EDUCATION = "basic.4y basic.6y basic.9y high.school illiterate professional.course university.degree unknown"
BANK_CATEGORIES = {
    "job": [*JOBS.split(), "unemployed", "unknown"],
    "marital": ["divorced", "married", "single", "unknown"],
    "education": EDUCATION.split(),
    "default": ["no", "unknown", "yes"],
    "housing": ["no", "unknown", "yes"],
    "loan": ["no", "unknown", "yes"],
    "contact": ["cellular", "telephone"],
    "month": ["apr", "aug", "dec", "jul", "jun", "mar", "may", "nov", "oct", "sep"],
    "day_of_week": ["fri", "mon", "thu", "tue", "wed"],
    "poutcome": ["failure", "nonexistent", "success"],
}
SHOPPERS_CATEGORIES = {
    "Month": ["Feb", "Mar", "May", "June", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
    "VisitorType": ["Returning_Visitor", "New_Visitor", "Other"],
}


def write_bank_marketing(folder: Path, *, rows: int = 400, seed: int = 0) -> dict[str, Path]:
    """Write bank+marketing.zip: a zip of two zips, of which bank-additional.zip holds the table that is used."""
    table = bank_marketing_table(rows, seed)
    inner = _zip(
        {
            "bank-additional/": b"",
            "bank-additional/bank-additional-names.txt": b"Citation request\n",
            "bank-additional/bank-additional-full.csv": _quoted(table),
            "bank-additional/bank-additional.csv": _quoted(table[: rows // 10]),
        }
    )
    other = _zip({"bank-full.csv": b'"age";"y"\n58;"no"\n', "bank-names.txt": b"Citation request\n"})
    return _write(folder / "bank+marketing.zip", _zip({"bank.zip": other, "bank-additional.zip": inner}))


def write_online_shoppers(folder: Path, *, rows: int = 400, seed: int = 0) -> dict[str, Path]:
    """Write online+shoppers+purchasing+intention+dataset.zip, which holds one table."""
    content = online_shoppers_table(rows, seed).to_csv(index=False).encode()
    name = "online+shoppers+purchasing+intention+dataset.zip"
    return _write(folder / name, _zip({"online_shoppers_intention.csv": content}))


def bank_marketing_table(rows: int, seed: int) -> pd.DataFrame:
    """Return random rows in which every category occurs; a long call is likelier to end in yes."""
    generator = np.random.default_rng(seed)
    chosen = _categories(BANK_CATEGORIES, rows, generator)
    duration = generator.integers(5, 1500, size=rows)
    columns = {
        "age": generator.integers(18, 95, size=rows),
        **{name: chosen[name] for name in list(BANK_CATEGORIES)[:-1]},
        "duration": duration,
        "campaign": generator.integers(1, 20, size=rows),
        "pdays": np.where(generator.random(rows) < 0.9, 999, 6),
        "previous": generator.integers(0, 5, size=rows),
        "poutcome": chosen["poutcome"],
        "emp.var.rate": generator.choice([-3.4, -0.1, 1.1, 1.4], size=rows),
        "cons.price.idx": generator.normal(93.5, 0.6, size=rows).round(3),
        "cons.conf.idx": generator.normal(-40, 4, size=rows).round(1),
        "euribor3m": generator.uniform(0.6, 5, size=rows).round(3),
        "nr.employed": generator.choice([4963.6, 5099.1, 5191.0, 5228.1], size=rows),
        "y": np.where(duration + generator.normal(0, 300, size=rows) > 1100, "yes", "no"),
    }
    return pd.DataFrame(columns)


def online_shoppers_table(rows: int, seed: int) -> pd.DataFrame:
    """Return random rows in which every category occurs; a high page value is likelier to end in a purchase."""
    generator = np.random.default_rng(seed)
    chosen = _categories(SHOPPERS_CATEGORIES, rows, generator)
    value = generator.exponential(6, size=rows)
    columns = {}
    for page in ("Administrative", "Informational", "ProductRelated"):
        columns[page] = generator.integers(0, 20, size=rows)
        columns[f"{page}_Duration"] = generator.exponential(80, size=rows).round(3)
    columns |= {
        "BounceRates": generator.uniform(0, 0.2, size=rows).round(9),
        "ExitRates": generator.uniform(0, 0.2, size=rows).round(9),
        "PageValues": value.round(6),
        "SpecialDay": generator.choice([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], size=rows),
        "Month": chosen["Month"],
        "OperatingSystems": generator.integers(1, 9, size=rows),
        "Browser": generator.integers(1, 14, size=rows),
        "Region": generator.integers(1, 10, size=rows),
        "TrafficType": generator.integers(1, 21, size=rows),
        "VisitorType": chosen["VisitorType"],
        "Weekend": np.where(generator.random(rows) < 0.23, "TRUE", "FALSE"),
        "Revenue": np.where(value + generator.normal(0, 3, size=rows) > 9, "TRUE", "FALSE"),
    }
    return pd.DataFrame(columns)


def _categories(values, rows, generator):
    return {name: generator.permutation(np.resize(known, rows)) for name, known in values.items()}


def _quoted(table):
    """Return the table as UCI has it: separated by semicolons, text in quotes."""
    return table.to_csv(sep=";", index=False, quoting=2).encode()  # csv.QUOTE_NONNUMERIC


def _zip(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {path.name: path}
