#!/usr/bin/env python3
"""The services that people run today, as far as they answer one request: a forest and XGBoost behind Flask, an
isolation forest behind FastAPI. bench/service_peers.sh runs them beside `nidus serve` on the same model files.

  service_peers.py models FOLDER    fits both on FOLDER/table.csv and writes FOLDER/ensemble and FOLDER/anomaly/model.pkl
  gunicorn service_peers:flask_app  with MODELS=FOLDER/ensemble
  uvicorn service_peers:fastapi_app with MODELS=FOLDER/anomaly

Needs flask, gunicorn, fastapi, uvicorn, scikit-learn, xgboost, pandas and joblib from PyPI."""
import json
import os
import pathlib
import pickle
import sys
import time


def fit(folder):
    import joblib
    import pandas
    import xgboost
    from sklearn.ensemble import IsolationForest, RandomForestClassifier
    from sklearn.preprocessing import StandardScaler

    table = pandas.read_csv(folder / "table.csv")
    names = [name for name in table.columns if name != "label"]
    rows, attack = table[names].to_numpy(), (table["label"] != "benign").astype(int)

    ensemble = folder / "ensemble"
    ensemble.mkdir(exist_ok=True)
    scaler = StandardScaler().fit(rows)
    scaled = scaler.transform(rows)
    forest = RandomForestClassifier(n_estimators=100, max_depth=20, random_state=1, n_jobs=2).fit(scaled, attack)
    boost = xgboost.XGBClassifier(n_estimators=100, max_depth=6, random_state=1, n_jobs=2).fit(scaled, attack)
    for name, part in (("random_forest_model", forest), ("scaler", scaler), ("feature_names", names)):
        (ensemble / (name + ".pkl")).write_bytes(pickle.dumps(part))
    boost.save_model(ensemble / "xgboost_model.json")
    (ensemble / "model_metadata.json").write_text(json.dumps({
        "version": "1.0.0",
        "models": {"random_forest": {"file": "random_forest_model.pkl", "format": "pickle"},
                   "xgboost": {"file": "xgboost_model.json", "format": "json"}},
        "deployment_config": {"ensemble_weights": {"random_forest": 0.5, "xgboost": 0.5}},
        "preprocessing": {"scaler": "StandardScaler"}}))

    anomaly = folder / "anomaly"
    anomaly.mkdir(exist_ok=True)
    benign = rows[attack == 0]
    scaler = StandardScaler().fit(benign)
    isolation = IsolationForest(n_estimators=100, random_state=1).fit(scaler.transform(benign))
    joblib.dump({"model": isolation, "scaler": scaler, "feature_names": names, "n_features": len(names)},
                anomaly / "model.pkl")
    (folder / "score.json").write_text(json.dumps({"features": rows[0].tolist()}))


def make_flask_app():
    import flask
    import numpy
    import xgboost

    folder = pathlib.Path(os.environ["MODELS"])
    forest, scaler, names = (pickle.loads((folder / (name + ".pkl")).read_bytes())
                             for name in ("random_forest_model", "scaler", "feature_names"))
    forest.n_jobs = 1
    boost = xgboost.XGBClassifier(n_jobs=1)
    boost.load_model(folder / "xgboost_model.json")
    app = flask.Flask("peer")

    @app.post("/predict")
    def predict():
        began = time.time()
        features = flask.request.get_json()["features"]
        row = scaler.transform(numpy.array([[float(features[name]) for name in names]]))
        parts = {"random_forest": float(forest.predict_proba(row)[0, 1]),
                 "xgboost": float(boost.predict_proba(row)[0, 1])}
        score = 0.5 * parts["random_forest"] + 0.5 * parts["xgboost"]
        return flask.jsonify(prediction=int(score > 0.5), prediction_label="Attack" if score > 0.5 else "Benign",
                             confidence=score, model_probabilities=parts,
                             inference_time_ms=(time.time() - began) * 1e3, timestamp=time.time())

    return app


def make_fastapi_app():
    import fastapi
    import joblib
    import numpy
    import pydantic

    bundle = joblib.load(pathlib.Path(os.environ["MODELS"]) / "model.pkl")
    app = fastapi.FastAPI()

    class Row(pydantic.BaseModel):
        features: list[float]

    @app.post("/score")
    def score(row: Row):
        began = time.time()
        scaled = bundle["scaler"].transform(numpy.array([row.features]))
        prediction = int(bundle["model"].predict(scaled)[0])
        return {"prediction": prediction, "is_anomaly": prediction == -1,
                "anomaly_score": float(bundle["model"].score_samples(scaled)[0]),
                "latency_seconds": time.time() - began}

    return app


def __getattr__(name):
    makers = {"flask_app": make_flask_app, "fastapi_app": make_fastapi_app}
    if name in makers:
        return makers[name]()
    raise AttributeError(name)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "models":
        sys.exit(__doc__)
    fit(pathlib.Path(sys.argv[2]))
