"""Price elasticity in a thousand stores: one demand model a store, by one call.

Made data: weekly sales of one product, stores of very different sizes, and a few with too little data.
Run it with ``python examples/thousand_stores.py``; with a folder as argument it saves the picture there.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import jaxglm as jg

rng = np.random.default_rng(7)
stores = 1000
weeks = np.exp(rng.uniform(np.log(20), np.log(300), stores)).astype(int)
store = np.repeat(np.arange(stores), weeks)
elasticity = rng.normal(-1.8, 0.4, stores)
price = np.exp(rng.normal(0.0, 0.2, len(store)))
promo = rng.random(len(store)) < 0.2
rate = np.exp(rng.normal(2.0, 0.5, stores)[store] + elasticity[store] * np.log(price) + 0.4 * promo)
sales = pd.DataFrame({"store": store, "price": price, "promo": promo.astype(int), "sold": rng.poisson(rate)})
# A store that was closed, and one that never changed its price.
sales.loc[sales["store"] == 3, "sold"] = 0
sales.loc[sales["store"] == 5, "price"] = 1.0

with warnings.catch_warnings():
    # The closed store has no estimates; failed() says so.
    warnings.simplefilter("ignore", jg.ConvergenceWarning)
    grp = jg.glm_groups("sold ~ log(price) + promo", sales, by="store", family="poisson")

print(grp.summary())
print(grp.failed())
print(grp[0].summary())

found = grp.params["log(price)"]
inside = grp.conf_int().xs("log(price)", level="term").loc[found.dropna().index]
truth = pd.Series(elasticity).loc[inside.index]
held = (inside["lower"] < truth) & (truth < inside["upper"])
print(f"95 % intervals that hold the true elasticity: {held.mean():.3f}")

plan = pd.DataFrame({"store": [0, 1, 2], "price": 0.9, "promo": 1})
print(grp.predict(plan).round(2).to_dict())

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build")
folder.mkdir(parents=True, exist_ok=True)
ax = grp.plot.caterpillar("log(price)")
ax.figure.savefig(folder / "thousand_stores.png", dpi=150)
