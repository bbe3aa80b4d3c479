from pipeline.training.curves import write_curve


def test_a_curve_is_a_table_of_plain_numbers(tmp_path):
    curve = [
        {"epoch": 1, "train_loss": 1 / 3, "validation_loss": 1234567.891},
        {"epoch": 2, "train_loss": 1e-9, "validation_loss": -2.0},
    ]
    write_curve(tmp_path / "curves" / "vae.csv", curve)
    assert (tmp_path / "curves" / "vae.csv").read_text().splitlines() == [
        "epoch,train_loss,validation_loss",
        "1,0.3333333,1234568",
        "2,1e-09,-2",
    ]
