"""What a model's answers are worth once recordings have suffered.

trials      which distortions, how strong, and what they may cost
listeners   who is asked: a checkpoint, or a server over HTTP
verdicts    agreement with the clean answer, change in UAR, pass or fail
page        the verdicts as one page of HTML
"""
