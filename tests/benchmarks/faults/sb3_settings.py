"""Environments, steps and hyperparameters of Stable-Baselines3's algorithms, and when a run has learned."""

from typing import Any

from stable_baselines3 import A2C, DQN, PPO, SAC, TD3

SMALL = {"net_arch": [64, 64]}
SETTINGS: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {
    ("DQN", "CartPole-v1"): (
        30_000,
        {
            "learning_rate": 2.3e-3,
            "batch_size": 64,
            "learning_starts": 1000,
            "target_update_interval": 10,
            "train_freq": 256,
            "gradient_steps": 128,
            "exploration_fraction": 0.16,
            "exploration_final_eps": 0.04,
            "policy_kwargs": {"net_arch": [128, 128]},
        },
    ),
    ("DQN", "Acrobot-v1"): (
        25_000,
        {
            "learning_rate": 6.3e-4,
            "batch_size": 64,
            "learning_starts": 1000,
            "target_update_interval": 250,
            "train_freq": 4,
            "gradient_steps": 2,
            "exploration_fraction": 0.2,
            "exploration_final_eps": 0.05,
            "policy_kwargs": SMALL,
        },
    ),
    ("DQN", "MountainCar-v0"): (
        80_000,
        {
            "learning_rate": 4e-3,
            "batch_size": 128,
            "buffer_size": 10_000,
            "learning_starts": 1000,
            "gamma": 0.98,
            "target_update_interval": 600,
            "train_freq": 16,
            "gradient_steps": 8,
            "exploration_fraction": 0.2,
            "exploration_final_eps": 0.07,
            "policy_kwargs": {"net_arch": [128, 128]},
        },
    ),
    ("SAC", "Pendulum-v1"): (
        4_000,
        {"learning_rate": 1e-3, "learning_starts": 500, "batch_size": 128, "policy_kwargs": SMALL},
    ),
    ("TD3", "Pendulum-v1"): (
        6_000,
        {"learning_rate": 1e-3, "learning_starts": 1000, "batch_size": 128, "policy_kwargs": SMALL},
    ),
    ("PPO", "CartPole-v1"): (
        50_000,
        {
            "n_steps": 128,
            "n_envs": 8,
            "batch_size": 256,
            "n_epochs": 4,
            "learning_rate": 1e-3,
            "gamma": 0.98,
            "gae_lambda": 0.8,
        },
    ),
    ("PPO", "Acrobot-v1"): (
        60_000,
        {"n_steps": 128, "n_envs": 8, "batch_size": 256, "n_epochs": 4, "learning_rate": 1e-3, "gae_lambda": 0.94},
    ),
    ("PPO", "Pendulum-v1"): (
        60_000,
        {
            "n_steps": 512,
            "n_envs": 4,
            "gae_lambda": 0.95,
            "gamma": 0.9,
            "n_epochs": 10,
            "learning_rate": 1e-3,
            "clip_range": 0.2,
            "use_sde": True,
            "sde_sample_freq": 4,
        },
    ),
    ("A2C", "CartPole-v1"): (60_000, {"n_envs": 8, "learning_rate": 7e-4}),
    ("A2C", "Acrobot-v1"): (60_000, {"n_envs": 16, "learning_rate": 7e-4}),
    ("A2C", "MountainCarContinuous-v0"): (
        60_000,
        {
            "n_envs": 4,
            "n_steps": 100,
            "ent_coef": 0.0,
            "use_sde": True,
            "sde_sample_freq": 16,
            "normalize": True,
            "policy_kwargs": {"log_std_init": 0.0, "ortho_init": False},
        },
    ),
}
"""Environment steps and hyperparameters, after rl-zoo3's, with smaller networks and shorter runs."""

ALGORITHMS: dict[str, type[Any]] = {"A2C": A2C, "DQN": DQN, "PPO": PPO, "SAC": SAC, "TD3": TD3}
MIN_RETURN = {
    "CartPole-v1": 100.0,
    "Acrobot-v1": -300.0,
    "MountainCar-v0": -190.0,
    "MountainCarContinuous-v0": 80.0,
    "Pendulum-v1": -700.0,
}
