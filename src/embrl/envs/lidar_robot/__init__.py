"""A robot with a lidar among shelves, with two jobs in the same halls."""

from embrl.envs.lidar_robot.environment import LidarRobot, LidarRobotConfig

__all__ = ["LidarRobot", "LidarRobotConfig"]
